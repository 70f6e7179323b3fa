// @vitest-environment happy-dom

import { act, cleanup, within } from '@testing-library/react'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Worker } from '../api/types'
import { formatDate } from '../lib/format'
import { serve, show } from '../test/render'
import { Workers } from './Workers'

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

const HOUR_AGO = Math.floor(Date.now() / 1000) - 3600

const aWorker = (workerid: number, name: string, more: Partial<Worker>): Worker => ({
  workerid,
  name,
  connected_to: [],
  configured_on: [{ masterid: 1, builderid: 1 }],
  workerinfo: { version: '1' },
  paused: false,
  pause_reason: null,
  graceful: false,
  disconnected_at: HOUR_AGO,
  ...more,
})

describe('the page of all workers', () => {
  it.each([
    [{ connected_to: [{ masterid: 1 }], disconnected_at: null }, 'Connected'],
    [
      {
        connected_to: [{ masterid: 1 }],
        disconnected_at: null,
        facts: { clock_skew_ms: -65_000 },
      },
      'Connectedclock 1:05 behind',
    ],
    [
      { connected_to: [{ masterid: 1 }], disconnected_at: null, downtime_until: HOUR_AGO },
      `Connecteddowntime until ${formatDate(HOUR_AGO)}`,
    ],
    [{}, 'Awaylast connected 1h ago'],
    [{ missing: true }, 'Missinglast connected 1h ago'],
    [{ workerinfo: {} }, 'Never connectedconfigured 1h ago'],
    [{ workerinfo: {}, missing: true }, 'Missingnever connected, configured 1h ago'],
    [
      { workerinfo: {}, paused: true, pause_reason: 'moved' },
      'Away, pausedmovednever connected, configured 1h ago',
    ],
  ])('says how one is: %j', async (more, text) => {
    const workers = [aWorker(1, 'w1', more)]
    serve({ 'GET api/v2/workers?order=name': () => Response.json({ workers, meta: { total: 1 } }) })
    const view = await show(<Workers />)
    act(() => view.sockets[0]?.onopen?.())
    const row = (await view.findByText('w1')).closest('tr')
    if (row === null) throw new Error('the worker has no row')
    const [state] = within(row).getAllByRole('cell')
    expect(state?.textContent).toBe(text)
  })
})
