import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CHUNK_LINES, LogStore } from './store'

interface Request {
  first: number
  count: number
  signal: AbortSignal
  answer: (lines: string[]) => void
  fail: (error: unknown) => void
}
let requests: Request[]
let store: LogStore
/** What the server has; a request is answered from it. */
let available: number
const linesOf = ({ first, count }: { first: number; count: number }) =>
  Array.from({ length: Math.max(0, Math.min(count, available - first)) }, (_, i) => `o${first + i}`)
const open = () => requests.filter(({ signal }) => !signal.aborted)
async function serve(): Promise<void> {
  for (let i = 0; i < 50; i++) {
    const waiting = requests.splice(0).filter(({ signal }) => !signal.aborted)
    if (waiting.length === 0) break
    for (const request of waiting) request.answer(linesOf(request))
    await vi.advanceTimersByTimeAsync(1)
  }
}

beforeEach(() => {
  vi.useFakeTimers()
  requests = []
  available = 1_000_000
  store = new LogStore(
    (first, count, signal) =>
      new Promise((answer, fail) => {
        signal.addEventListener('abort', () => fail(signal.reason))
        requests.push({ first, count, signal, answer, fail })
      }),
  )
  store.grow(1_000_000)
})
afterEach(() => {
  store.close()
  vi.useRealTimers()
})

describe('fetching by range', () => {
  it('asks for whole chunks around what is looked at, the nearest first', async () => {
    store.want(10_010, 10_060)
    expect(requests[0]).toMatchObject({ first: 10_000, count: CHUNK_LINES })
    await serve()
    expect(store.line(10_010)).toBe('o10010')
    expect(store.line(700_000)).toBeUndefined()
  })

  it('asks for each chunk once', async () => {
    const asked: number[] = []
    store.want(0, 50)
    for (let i = 0; i < 40; i++) {
      asked.push(...requests.map(({ first }) => first))
      await serve()
      store.want(i * 10, i * 10 + 50)
    }
    expect(asked).toEqual([...new Set(asked)])
  })

  it('waits for a jump to end before it asks, and asks only for where it ended', async () => {
    store.want(0, 50)
    await serve()
    for (let i = 1; i <= 30; i++) {
      store.want(i * 20_000, i * 20_000 + 50)
      await vi.advanceTimersByTimeAsync(16)
      expect(requests).toHaveLength(0)
    }
    await vi.advanceTimersByTimeAsync(100)
    expect(requests.map(({ first }) => first)).toContain(600_000)
    expect(requests.length).toBeLessThanOrEqual(3)
  })

  it('gives up requests for what was scrolled past', async () => {
    store.want(0, 50)
    const before = [...requests]
    store.want(500_000, 500_050)
    await vi.advanceTimersByTimeAsync(100)
    expect(before.every(({ signal }) => signal.aborted)).toBe(true)
    await serve()
    expect(store.line(500_000)).toBe('o500000')
    expect(store.failure()).toBeUndefined()
  })

  it('forgets what is far away', async () => {
    for (let i = 0; i < 100; i++) {
      store.want(i * 5000, i * 5000 + 50)
      await vi.advanceTimersByTimeAsync(100)
      await serve()
    }
    let held = 0
    for (let line = 0; line < 1_000_000; line += CHUNK_LINES) if (store.line(line) !== undefined) held += 1
    expect(held).toBeLessThanOrEqual(42)
    expect(store.line(99 * 5000)).toBeDefined()
  })

  it('tells listeners', async () => {
    const listener = vi.fn()
    const before = store.version()
    store.subscribe(listener)
    store.want(0, 50)
    await serve()
    expect(listener).toHaveBeenCalled()
    expect(store.version()).toBeGreaterThan(before)
  })
})

describe('a growing log', () => {
  beforeEach(() => {
    store.close()
    available = 0
    store = new LogStore((first, count, signal) => {
      return new Promise((answer, fail) => {
        signal.addEventListener('abort', () => fail(signal.reason))
        requests.push({ first, count, signal, answer, fail })
      })
    })
  })

  it('fetches only what is new at the end', async () => {
    available = 30
    store.grow(30)
    store.want(0, 30)
    await serve()
    available = 45
    store.grow(45)
    store.want(0, 45)
    expect(open()).toMatchObject([{ first: 30, count: 15 }])
    await serve()
    expect(store.line(44)).toBe('o44')
    expect(store.line(3)).toBe('o3')
  })

  it('never shrinks', () => {
    store.grow(30)
    store.grow(10)
    expect(store.count).toBe(30)
  })

  it('asks again for announced lines that are not there yet, but not for ever', async () => {
    available = 10
    store.grow(20)
    store.want(0, 20)
    await serve()
    expect(store.line(9)).toBe('o9')
    expect(requests).toHaveLength(0)
    available = 20
    await vi.advanceTimersByTimeAsync(1000)
    await serve()
    expect(store.line(19)).toBe('o19')

    store.grow(30)
    let asked = 0
    for (let i = 0; i < 60; i++) {
      store.want(0, 30)
      asked += requests.length
      await serve()
      await vi.advanceTimersByTimeAsync(1000)
    }
    expect(asked).toBeLessThanOrEqual(10)
    expect(asked).toBeGreaterThan(1)
  })
})

describe('failures', () => {
  it('are told with their range, do not loop, and go away with a retry', async () => {
    store.want(10_010, 10_060)
    for (const request of requests.splice(0)) request.fail(new Error('away'))
    await vi.advanceTimersByTimeAsync(10)
    expect(store.failure()).toMatchObject({ first: 10_000, end: 10_500 })
    store.want(10_010, 10_070)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(requests.filter(({ first }) => first === 10_000)).toHaveLength(0)
    store.retry()
    await serve()
    expect(store.failure()).toBeUndefined()
    expect(store.line(10_010)).toBe('o10010')
  })

  it('nothing happens after closing', async () => {
    store.want(0, 50)
    const [request] = requests
    store.close()
    expect(request?.signal.aborted).toBe(true)
    store.want(500, 550)
    await vi.advanceTimersByTimeAsync(1000)
    expect(open()).toHaveLength(0)
  })
})
