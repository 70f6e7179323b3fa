// @vitest-environment happy-dom

import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { act, cleanup, render } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeSocket } from '../test/FakeSocket'
import { fetchLive, type LiveQuery, SocketContext, useLive } from './live'
import { EventSocket } from './socket'

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
  last().onopen?.()
})
afterEach(() => {
  cleanup()
  client.stop()
  vi.useRealTimers()
})

/** The numbers seen; the fetch is answered by the test. */
function numbers(): { query: LiveQuery<readonly number[]>; answers: ((data: number[]) => void)[] } {
  const answers: ((data: number[]) => void)[] = []
  return {
    answers,
    query: {
      key: ['numbers'],
      topics: ['numbers/*/*'],
      fetch: () => new Promise<readonly number[]>((resolve) => answers.push(resolve)),
      apply: (data, event) => [...data, event.item as number],
    },
  }
}

describe('fetchLive', () => {
  it('subscribes before it fetches and applies what came meanwhile', async () => {
    const { query, answers } = numbers()
    last().answers = false
    const result = fetchLive(client, query, new AbortController().signal)
    await vi.advanceTimersByTimeAsync(1)
    expect(answers).toHaveLength(0)
    last().answer(last().sent.at(-1)?._id ?? -1)
    await vi.advanceTimersByTimeAsync(1)
    expect(answers).toHaveLength(1)
    last().event('numbers/3/new', 3)
    answers[0]?.([1, 2])
    expect(await result).toEqual([1, 2, 3])
  })

  it('ends its subscriptions also when the fetch fails', async () => {
    const { query } = numbers()
    const failing = { ...query, fetch: () => Promise.reject(new Error('away')) }
    await expect(fetchLive(client, failing, new AbortController().signal)).rejects.toThrow('away')
    await vi.advanceTimersByTimeAsync(10_000)
    expect(last().topics('stopConsuming')).toEqual(['numbers/*/*'])
  })
})

function Numbers({
  query,
  renders,
}: {
  query: LiveQuery<readonly number[]>
  renders: (data: unknown) => void
}) {
  const { data } = useLive(query)
  renders(data)
  return <p>{data?.join(' ') ?? 'none'}</p>
}

describe('useLive', () => {
  function show(query: LiveQuery<readonly number[]>, queries = new QueryClient()) {
    const renders = vi.fn()
    const view = render(
      <QueryClientProvider client={queries}>
        <SocketContext value={client}>
          <Numbers query={query} renders={renders} />
        </SocketContext>
      </QueryClientProvider>,
    )
    return { view, renders, queries, text: () => view.container.textContent }
  }
  const settle = (ms = 1) => act(() => vi.advanceTimersByTimeAsync(ms))

  it('patches what is shown, many events in one go', async () => {
    const { query, answers } = numbers()
    const { text, renders } = show(query)
    await settle()
    answers[0]?.([1])
    await settle()
    expect(text()).toBe('1')
    renders.mockClear()
    for (let i = 2; i <= 50; i++) last().event(`numbers/${i}/new`, i)
    await settle(200)
    expect(text()).toMatch(/^1 2 .* 50$/)
    expect(renders.mock.calls.length).toBeLessThanOrEqual(2)
    expect(answers).toHaveLength(1)
  })

  it('applies an event once, however many components show the query', async () => {
    const { query, answers } = numbers()
    const { view, queries } = show(query)
    const second = show(query, queries)
    await settle()
    answers[0]?.([1])
    await settle()
    last().event('numbers/2/new', 2)
    await settle(200)
    expect(second.text()).toBe('1 2')
    second.view.unmount()
    last().event('numbers/3/new', 3)
    await settle(200)
    expect(view.container.textContent).toBe('1 2 3')
  })

  it('asks once for what is kept current, and again for what was not', async () => {
    const { query, answers } = numbers()
    const { view, queries } = show(query)
    await settle()
    answers[0]?.([1])
    await settle()
    last().event('numbers/2/new', 2)
    await settle(60_000)
    const second = show(query, queries)
    await settle()
    expect(second.text()).toBe('1 2')
    expect(answers).toHaveLength(1)
    // While nobody looked, events may have been missed.
    view.unmount()
    second.view.unmount()
    await settle(10)
    const third = show(query, queries)
    await settle()
    expect(third.text()).toBe('1 2')
    expect(answers).toHaveLength(2)
    answers[1]?.([1, 2, 3])
    await settle()
    expect(third.text()).toBe('1 2 3')
  })

  it('reads again after the connection was lost', async () => {
    const { query, answers } = numbers()
    const { text, queries } = show(query)
    client.onResume(() => void queries.invalidateQueries())
    await settle()
    answers[0]?.([1])
    await settle()
    last().onclose?.()
    await settle(1000)
    last().onopen?.()
    await settle()
    expect(answers).toHaveLength(2)
    answers[1]?.([1, 7, 8])
    await settle()
    expect(text()).toBe('1 7 8')
    last().event('numbers/9/new', 9)
    await settle(200)
    expect(text()).toBe('1 7 8 9')
  })

  it('fetches again, not too often, for events that say too little', async () => {
    const { query, answers } = numbers()
    show({ ...query, refetchOn: (event) => event.name === 'new' })
    await settle()
    answers[0]?.([1])
    await settle()
    for (let i = 0; i < 20; i++) last().event('numbers/2/new', 2)
    last().event('numbers/2/update', 2)
    await settle(5000)
    expect(answers).toHaveLength(2)
  })

  it('stops listening when nobody looks', async () => {
    const { query, answers } = numbers()
    const { view } = show(query)
    await settle()
    answers[0]?.([1])
    await settle()
    view.unmount()
    await settle(10_000)
    expect(last().topics('stopConsuming')).toEqual(['numbers/*/*'])
  })
})
