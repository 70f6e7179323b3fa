import { describe, expect, it } from 'vitest'
import { MAX_MATCHES, makeMatcher, type Progress, scan, step } from './search'

const pattern = (text: string, more = {}) =>
  makeMatcher({ text, caseSensitive: false, regex: false, ...more })
const total = 45_000
const fetch = async (first: number, count: number) =>
  Array.from({ length: count }, (_, i) =>
    (first + i) % 9000 === 77 ? `e\u001b[31mPanic\u001b[0m at ${first + i}` : 'ofine',
  )

async function run(options: Partial<Parameters<typeof scan>[0]> = {}) {
  const reports: Progress[] = []
  const asked: [number, number][] = []
  await scan({
    fetch: (first, count, signal) => {
      asked.push([first, count])
      return (options.fetch ?? fetch)(first, count, signal)
    },
    type: 's',
    total,
    start: 20_000,
    matcher: pattern('panic'),
    signal: new AbortController().signal,
    ...options,
    report: (progress) => {
      reports.push(progress)
      options.report?.(progress)
    },
  })
  return { reports, asked, last: reports.at(-1) as Progress }
}

describe('matching', () => {
  it('ignores case unless told not to', () => {
    expect(pattern('err')('an ERROR')).toEqual([[3, 6]])
    expect(pattern('err', { caseSensitive: true })('an ERROR')).toEqual([])
  })
  it('takes text literally and expressions as expressions', () => {
    expect(pattern('a.c')('abc a.c')).toEqual([[4, 7]])
    expect(pattern('a.c', { regex: true })('abc a.c')).toHaveLength(2)
    expect(() => pattern('(', { regex: true })).toThrow(SyntaxError)
  })
  it('does not hang on expressions that match nothing', () => {
    expect(pattern('x*', { regex: true })('abc')).toEqual([])
  })
})

describe('scanning a whole log', () => {
  it('finds everything, from the start given and around', async () => {
    const { last, asked } = await run()
    expect(last).toMatchObject({
      state: 'done',
      scanned: total,
      first: 27_077,
      matches: [77, 9077, 18_077, 27_077, 36_077],
    })
    expect(asked[0]).toEqual([20_000, 10_000])
    expect(asked.reduce((sum, [, count]) => sum + count, 0)).toBe(total)
  })

  it('looks through colours', async () => {
    const { last } = await run({ matcher: pattern('Panic at 77') })
    expect(last.matches).toEqual([77])
  })

  it('tells progress', async () => {
    const { reports } = await run()
    expect(reports[0]).toMatchObject({ scanned: 0, state: 'scanning' })
    const scanned = reports.map((report) => report.scanned)
    expect(scanned).toEqual(scanned.toSorted((a, b) => a - b))
    expect(reports.length).toBeGreaterThan(4)
  })

  it('stops when told to', async () => {
    const abort = new AbortController()
    let asked = 0
    const stopped = run({
      signal: abort.signal,
      fetch: async (first, count) => {
        asked += 1
        if (asked === 2) abort.abort()
        return fetch(first, count)
      },
    })
    await expect(stopped).rejects.toThrow()
    expect(asked).toBe(2)
  })

  it('stops when there is more than anybody wants', async () => {
    const { last } = await run({ matcher: pattern('fine') })
    expect(last.state).toBe('full')
    expect(last.matches).toHaveLength(MAX_MATCHES)
  })

  it('knows an empty log', async () => {
    const { last, asked } = await run({ total: 0, start: 0 })
    expect(last).toMatchObject({ state: 'done', matches: [] })
    expect(asked).toEqual([])
  })
})

describe('stepping', () => {
  it('goes around the ends', () => {
    const matches = [3, 8, 20]
    expect(step(matches, 8, 1)).toBe(20)
    expect(step(matches, 20, 1)).toBe(3)
    expect(step(matches, 8, -1)).toBe(3)
    expect(step(matches, 3, -1)).toBe(20)
    expect(step(matches, 10, -1)).toBe(8)
    expect(step([], 0, 1)).toBeUndefined()
  })
})
