import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { capture, responseOf } from '../test/captures'
import { CUT, logLines, partialContent, splitLines } from './loglines'

/** Small, so that the tests are quick. */
const LIMITS = { answer: 64 * 1024, kept: 4 * 1024 }

const fetchMock = vi.fn<typeof fetch>()
beforeEach(() => {
  vi.stubGlobal('fetch', fetchMock)
  vi.stubGlobal('window', { location: { origin: 'https://ci.example.org', pathname: '/' } })
})
afterEach(() => {
  vi.unstubAllGlobals()
  fetchMock.mockReset()
})

/** A log that is answered as a master does, in pieces, and counts what was taken of it. */
function serve(lines: readonly string[], piece = 1024) {
  const seen = { requests: [] as string[], sent: 0 }
  fetchMock.mockImplementation(async (input) => {
    const url = new URL(String(input))
    const offset = Number(url.searchParams.get('offset'))
    const limit = Number(url.searchParams.get('limit'))
    seen.requests.push(`${offset}+${limit}`)
    const content = lines
      .slice(offset, offset + limit)
      .map((line) => `${line}\n`)
      .join('')
    const bytes = new TextEncoder().encode(
      JSON.stringify({ logchunks: [{ content, firstline: offset, logid: 1 }], meta: {} }),
    )
    let at = 0
    return new Response(
      new ReadableStream({
        pull(controller) {
          controller.enqueue(bytes.subarray(at, at + piece))
          at += piece
          seen.sent += piece
          if (at >= bytes.length) controller.close()
        },
      }),
    )
  })
  return seen
}

describe('lines of a log', () => {
  it('are split from a recorded answer', async () => {
    fetchMock.mockResolvedValueOnce(responseOf(capture('log-contents-range')))
    const lines = await logLines(1, 2, 3)
    expect(lines).toHaveLength(3)
    expect(lines[2]).toBe('h environment:')
  })

  it('may be empty, and so may the log', () => {
    expect(splitLines('oa\n\nob\n')).toEqual(['oa', '', 'ob'])
    expect(splitLines('\n')).toEqual([''])
    expect(splitLines('')).toEqual([])
  })

  it('come in one request where they are ordinary', async () => {
    const all = Array.from({ length: 500 }, (_, i) => `oline ${i} "quoted" \\ ü 😀`)
    const seen = serve(all)
    expect(await logLines(1, 100, 200)).toEqual(all.slice(100, 300))
    expect(seen.requests).toEqual(['100+200'])
  })

  it('a giant one is given up early, and what follows it comes whole', async () => {
    const giant = `o${'x"\\\t'.repeat(5 * LIMITS.answer)}`
    const seen = serve(['obefore', giant, 'oafter', giant, 'oend'])
    const lines = await logLines(1, 0, 5, undefined, LIMITS)
    expect(lines.map((line) => line.endsWith(CUT))).toEqual([false, true, false, true, false])
    expect([lines[0], lines[2], lines[4]]).toEqual(['obefore', 'oafter', 'oend'])
    expect(giant.startsWith(lines[1]?.slice(0, -1) ?? '?')).toBe(true)
    expect(lines[1]?.length).toBeGreaterThan(LIMITS.kept / 3)
    expect(lines[1]?.length).toBeLessThanOrEqual(LIMITS.kept + 1)
    // Of fifty times as much.
    expect(seen.sent).toBeLessThan(3 * LIMITS.answer)
  })

  it('many long ones that are no giants come in several requests, none of them cut', async () => {
    const all = Array.from({ length: 40 }, (_, i) => `o${String(i).repeat(5000)}`)
    const seen = serve(all)
    expect(await logLines(1, 0, 40, undefined, LIMITS)).toEqual(all)
    expect(seen.requests.length).toBeGreaterThan(2)
  })

  it.each([1, 2, 3, 5, 7, 11])(
    'are right wherever an answer is given up (pieces of %i bytes)',
    async (piece) => {
      const line = 'o\\"\u0001\t😀ü'.repeat(3)
      const text = JSON.stringify({ logchunks: [{ content: `${line}\n${line}\n`, firstline: 0 }], meta: {} })
      const from = text.indexOf('"content":"') + 11
      for (let end = from; end < text.length; end += piece) {
        const escaped = partialContent(text.slice(0, end))
        expect(`${line}\n${line}\n`.startsWith(JSON.parse(`"${escaped}"`))).toBe(true)
      }
    },
  )

  it('are refused in the words of the server', async () => {
    fetchMock.mockResolvedValueOnce(Response.json({ error: 'no such log' }, { status: 404 }))
    await expect(logLines(1, 0, 5)).rejects.toMatchObject({ kind: 'not-found', message: 'no such log' })
  })
})
