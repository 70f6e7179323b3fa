// @vitest-environment happy-dom

import { act, cleanup } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { serve, show } from '../test/render'
import { ConnectionBar } from './ConnectionBar'

beforeEach(() => {
  serve({})
})
afterEach(() => {
  cleanup()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('the connection bar', () => {
  it('is silent about blips, says when it lasts, and goes when it is over', async () => {
    const { sockets, container } = await show(<ConnectionBar />)
    vi.useFakeTimers()
    const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms))
    act(() => sockets[0]?.onopen?.())
    await pass(5000)
    expect(container.textContent).not.toContain('Connection lost')

    act(() => sockets[0]?.onclose?.())
    await pass(200)
    expect(container.textContent).not.toContain('Connection lost')
    await pass(3000)
    expect(container.textContent).toContain('Connection lost, reconnecting')

    act(() => sockets.at(-1)?.onopen?.())
    await pass(100)
    expect(container.textContent).not.toContain('Connection lost')
  })
})
