import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Capture, capture, responseOf } from '../test/captures'
import { call, get, list, logIn } from './client'
import { ApiError } from './errors'

const fetchMock = vi.fn<typeof fetch>()
const answerWith = (one: Capture) => fetchMock.mockResolvedValueOnce(responseOf(one))
const caught = (promise: Promise<unknown>): Promise<ApiError> =>
  promise.then(
    () => expect.unreachable('it should have failed'),
    (error) => error,
  )

beforeEach(() => {
  vi.stubGlobal('fetch', fetchMock)
  vi.stubGlobal('window', { location: { origin: 'https://ci.example.org', pathname: '/prefix/' } })
})
afterEach(() => {
  vi.unstubAllGlobals()
  fetchMock.mockReset()
})

describe('reading', () => {
  it('gives the items of a collection and the total', async () => {
    answerWith(capture('builders'))
    const page = await list('builders', 'builders', { order: 'builderid', limit: 3 })
    expect(fetchMock.mock.calls[0]?.[0]).toBe(
      'https://ci.example.org/prefix/api/v2/builders?order=builderid&limit=3',
    )
    expect(page.items.map((builder) => builder.name)).toEqual(['download-pb', 'fs-mp', 'timeout-mp'])
    expect(page.total).toBe(12)
  })

  it('unwraps a single item', async () => {
    answerWith(capture('build'))
    const build = await get('builds', 'builds/1')
    expect(build.state_string).toBe("warnings 'echo 'unicode: ...' (failure)")
    expect(build.properties.owner).toEqual(['me <me@example.org>', 'Force Build Form'])
  })

  it('never tells a smaller total than there are items', async () => {
    fetchMock.mockResolvedValueOnce(Response.json({ builds: [{}, {}], meta: { total: 1 } }))
    expect((await list('builds', 'builds')).total).toBe(2)
  })
})

describe('failures', () => {
  it('tells a refusal in the words of the server', async () => {
    answerWith(capture('error-400-query'))
    const error = await caught(list('builds', 'builds', { nosuchfield: 1 }))
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({
      kind: 'refused',
      status: 400,
      message: "unrecognized query parameter 'nosuchfield'",
    })
  })

  it('knows what is not there', async () => {
    answerWith(capture('error-404-resource'))
    expect((await caught(get('builds', 'builds/999999'))).kind).toBe('not-found')
  })

  it('knows when the master is away', async () => {
    fetchMock.mockRejectedValueOnce(new TypeError('Failed to fetch'))
    const error = await caught(list('builds', 'builds'))
    expect(error.kind).toBe('unreachable')
    expect(error.cause).toBeInstanceOf(TypeError)
  })

  it('passes the abort of the caller on as it is', async () => {
    const controller = new AbortController()
    controller.abort()
    fetchMock.mockImplementationOnce(async (_url, init) => {
      init?.signal?.throwIfAborted()
      return new Response()
    })
    const error: unknown = await caught(list('builds', 'builds', {}, controller.signal))
    expect(error).toBeInstanceOf(DOMException)
  })

  it('does not show the markup of a proxy', async () => {
    fetchMock.mockResolvedValueOnce(new Response('<h1>Bad</h1>', { status: 502, statusText: 'Bad Gateway' }))
    expect((await caught(list('builds', 'builds'))).message).toBe('the server answered 502 Bad Gateway')
    fetchMock.mockResolvedValueOnce(new Response('<h1>Login</h1>', { status: 200 }))
    expect((await caught(list('builds', 'builds'))).kind).toBe('malformed')
    fetchMock.mockResolvedValueOnce(Response.json({ something: 1 }))
    expect((await caught(list('builds', 'builds'))).kind).toBe('malformed')
  })
})

describe('control', () => {
  it('sends JSON-RPC and gives the result', async () => {
    answerWith(capture('rpc-force'))
    const result = await call('forceschedulers/force', 'force', { builderid: 11 })
    expect(result).toEqual([18, { '11': 29 }])
    const [, init] = fetchMock.mock.calls[0] ?? []
    expect(init?.method).toBe('POST')
    expect(JSON.parse(String(init?.body))).toMatchObject({
      jsonrpc: '2.0',
      method: 'force',
      params: { builderid: 11 },
      id: expect.any(Number),
    })
  })

  it('tells validation errors by field', async () => {
    answerWith(capture('rpc-error-validation'))
    const error = await caught(call('forceschedulers/force', 'force', {}))
    expect(error.kind).toBe('invalid')
    expect(Object.keys(error.fields)).toEqual(['username', 'iprop'])
    expect(error.fields.iprop).toBe("invalid literal for int() with base 10: 'abc'")
  })

  it('knows a missing permission and an unknown method', async () => {
    fetchMock.mockResolvedValueOnce(
      Response.json(
        { jsonrpc: '2.0', id: 1, error: { code: -32600, message: "you need to have role 'admin'" } },
        { status: 403 },
      ),
    )
    expect(await caught(call('builds/1', 'stop'))).toMatchObject({
      kind: 'forbidden',
      message: "you need to have role 'admin'",
    })
    answerWith(capture('rpc-error-unsupported'))
    expect(await caught(call('builds/1', 'nope'))).toMatchObject({
      kind: 'refused',
      status: 501,
      message: 'action: nope is not supported',
    })
  })

  it('exchanges a token in the body, never in the address', async () => {
    fetchMock.mockResolvedValueOnce(Response.json({ user: { username: 'admin' } }))
    expect(await logIn('s3cret')).toEqual({ username: 'admin' })
    const [url, init] = fetchMock.mock.calls[0] ?? []
    expect(url).toBe('https://ci.example.org/prefix/auth/token')
    expect(init?.body).toBe('{"token":"s3cret"}')
  })
})
