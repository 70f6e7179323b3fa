import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeSocket } from '../test/FakeSocket'
import { backoff, EventSocket, type LiveEvent, topicMatches } from './socket'

let sockets: FakeSocket[]
let client: EventSocket
const last = (): FakeSocket => sockets.at(-1) as FakeSocket

beforeEach(() => {
  vi.useFakeTimers()
  sockets = []
  client = new EventSocket(() => {
    const socket = new FakeSocket()
    sockets.push(socket)
    return socket
  })
  client.start()
})
afterEach(() => {
  client.stop()
  vi.useRealTimers()
})

describe('topics', () => {
  it.each([
    ['builds/*/*', 'builds/28/update', true],
    ['builds/*/*', 'builds/28/steps/1/new', false],
    ['builds/28/*', 'builds/29/update', false],
    ['builders/11/builds/*/*', 'builders/11/builds/5/new', true],
  ])('%s and %s', (pattern, key, matches) => {
    expect(topicMatches(pattern.split('/'), key.split('/'))).toBe(matches)
  })

  it('subscribes once for several users and ends with the last, after a moment', () => {
    last().onopen?.()
    const first = client.subscribe('builds/*/*', () => {})
    const second = client.subscribe('builds/*/*', () => {})
    expect(last().topics()).toEqual(['builds/*/*'])
    first()
    second()
    expect(last().topics('stopConsuming')).toEqual([])
    vi.advanceTimersByTime(5000)
    expect(last().topics('stopConsuming')).toEqual(['builds/*/*'])
  })

  it('does not end what is wanted again within the moment', () => {
    last().onopen?.()
    client.subscribe('builds/*/*', () => {})()
    client.subscribe('builds/*/*', () => {})
    vi.advanceTimersByTime(60_000)
    expect(last().topics('stopConsuming')).toEqual([])
  })

  it('hands an event to each handler whose pattern matches', () => {
    last().onopen?.()
    const seen: string[] = []
    const note = (who: string) => (event: LiveEvent) =>
      seen.push(`${who} ${event.key.join('/')} ${event.name}`)
    client.subscribe('builds/*/*', note('all'))
    client.subscribe('builds/28/*', note('one'))
    last().event('builds/28/finished', { buildid: 28 })
    last().event('builds/29/update', { buildid: 29 })
    expect(seen).toEqual([
      'all builds/28/finished finished',
      'one builds/28/finished finished',
      'all builds/29/update update',
    ])
  })

  it('ignores frames that it does not understand', () => {
    last().onopen?.()
    const seen = vi.fn()
    client.subscribe('builds/*/*', seen)
    for (const data of ['nonsense', '5', 'null', '{}', '{"k":5}', new ArrayBuffer(2)])
      last().onmessage?.({ data })
    expect(seen).not.toHaveBeenCalled()
  })
})

describe('settling', () => {
  it('waits for the confirmation', async () => {
    last().onopen?.()
    last().answers = false
    client.subscribe('builds/*/*', () => {})
    const settled = vi.fn()
    const waiting = client.settled('builds/*/*').then(settled)
    await vi.advanceTimersByTimeAsync(100)
    expect(settled).not.toHaveBeenCalled()
    last().answer(last().sent.find(({ path }) => path === 'builds/*/*')?._id ?? -1)
    await waiting
    expect(settled).toHaveBeenCalled()
  })

  it('does not wait for a server that is away, nor for ever', async () => {
    client.subscribe('builds/*/*', () => {})
    const slow = client.settled('builds/*/*')
    await vi.advanceTimersByTimeAsync(10_000)
    await slow
    last().onclose?.()
    await client.settled('builds/*/*')
  })
})

describe('reconnecting', () => {
  it('waits longer each time, with a limit, and never exactly as long as others', () => {
    expect([1, 2, 3, 4].map((attempt) => backoff(attempt, () => 1))).toEqual([500, 1000, 2000, 4000])
    expect(backoff(40, () => 1)).toBe(30_000)
    expect(backoff(3, () => 0)).toBe(1000)
  })

  it('subscribes again before it tells to refetch', async () => {
    const resumed = vi.fn()
    client.onResume(resumed)
    client.subscribe('builds/*/*', () => {})
    last().onopen?.()
    await vi.advanceTimersByTimeAsync(10)
    expect(resumed).not.toHaveBeenCalled()
    last().onclose?.()
    expect(client.connection().phase).toBe('waiting')
    await vi.advanceTimersByTimeAsync(1000)
    expect(sockets).toHaveLength(2)
    last().answers = false
    last().onopen?.()
    expect(last().topics()).toEqual(['builds/*/*'])
    await vi.advanceTimersByTimeAsync(10)
    expect(resumed).not.toHaveBeenCalled()
    for (const { _id } of [...last().sent]) last().answer(_id)
    await vi.advanceTimersByTimeAsync(10)
    expect(resumed).toHaveBeenCalledTimes(1)
    expect(client.connection()).toEqual({ phase: 'open' })
  })

  it('tells to refetch also when the very first attempt failed', async () => {
    const resumed = vi.fn()
    client.onResume(resumed)
    last().onclose?.()
    await vi.advanceTimersByTimeAsync(1000)
    last().onopen?.()
    await vi.advanceTimersByTimeAsync(10)
    expect(resumed).toHaveBeenCalledTimes(1)
  })

  it('tries at once when told to', () => {
    last().onclose?.()
    client.retryNow()
    expect(sockets).toHaveLength(2)
    client.retryNow()
    expect(sockets).toHaveLength(2)
  })

  it('notices a connection that is dead without saying so', async () => {
    last().onopen?.()
    last().answers = false
    await vi.advanceTimersByTimeAsync(25_000)
    expect(last().sent.at(-1)?.cmd).toBe('ping')
    await vi.advanceTimersByTimeAsync(10_000)
    expect(client.connection().phase).toBe('waiting')
    expect(last().closed).toBe(true)
  })

  it('keeps a connection that answers', async () => {
    last().onopen?.()
    await vi.advanceTimersByTimeAsync(300_000)
    expect(sockets).toHaveLength(1)
    expect(client.connection().phase).toBe('open')
  })

  it('tells watchers and hands out a stable state', () => {
    const watcher = vi.fn()
    const end = client.watch(watcher)
    last().onopen?.()
    expect(watcher).toHaveBeenCalledTimes(1)
    expect(client.connection()).toBe(client.connection())
    end()
    last().onclose?.()
    expect(watcher).toHaveBeenCalledTimes(1)
  })
})
