// @vitest-environment happy-dom

import { act, cleanup, fireEvent, waitFor, within } from '@testing-library/react'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Job, Run, User } from '../api/types'
import { serve, show } from '../test/render'
import { aJob, aRun, ended } from '../test/runs'
import { JOBS, RunView } from './Run'

// Loaded beforehand: how long that takes is not what these tests are about.
beforeAll(() => import('../components/RunGraph'))
afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

const done =
  (result: unknown = null) =>
  () =>
    Response.json({ jsonrpc: '2.0', id: 1, result })

/** The page of a run. */
async function open(
  run: Run,
  jobs: readonly Job[],
  more: Parameters<typeof serve>[0] = {},
  { user = { username: 'admin' } as User, total = jobs.length } = {},
) {
  const asked = serve({
    'GET config': () => Response.json({ title: 'CI', versions: [], user }),
    'GET api/v2/runs/7': () => Response.json({ runs: [run], meta: { total: 1 } }),
    [`GET api/v2/runs/7/jobs?order=number&limit=${JOBS}&offset=0`]: () =>
      Response.json({ jobs, meta: { total } }),
    ...more,
  })
  const view = await show(<RunView id={7} />)
  act(() => view.sockets[0]?.onopen?.())
  return { view, asked, posted: () => asked.filter(({ route }) => route.startsWith('POST')) }
}

const STORY = [
  aJob(0, 'compile', ended(0, { buildid: 40, buildrequestid: 50 })),
  aJob(1, 'test (linux)', {
    ...ended(2, { buildid: 41, buildrequestid: 51, cause: { kind: 'exit_code', code: 3 } }),
    group: 'test',
    matrix: { os: 'linux' },
    needs: [0],
  }),
  aJob(2, 'test (mac)', {
    state: 'queued',
    buildrequestid: 52,
    attempts: 1,
    group: 'test',
    matrix: { os: 'mac' },
    needs: [0],
  }),
  aJob(3, 'publish', {
    state: 'awaiting_approval',
    needs: [0],
    definition: { approval: { prompt: 'Shall it go out?' } },
  }),
  aJob(4, 'announce', { needs: [1, 2, 3] }),
  aJob(5, 'windows', { ...ended(3, { why: 'branch is not "main"' }), state: 'skipped', started_at: null }),
]

describe('the page of a run', () => {
  it('says of each job where it stands and why', async () => {
    const { view } = await open(aRun(), STORY, {
      'GET api/v2/jobs/102/waiting': () =>
        Response.json({ waiting: [{ jobid: 102, why: 'no worker is connected' }], meta: { total: 1 } }),
    })
    const table = within(await view.findByRole('table'))
    const row = (name: string) =>
      table
        .getAllByRole('rowheader')
        .find((header) => header.textContent?.startsWith(name))
        ?.closest('tr')?.textContent
    expect(row('compile')).toMatch(/Succeeded.*1:05/)
    expect(row('test (linux)')).toMatch(/Failed.*exit code 3/)
    await waitFor(() => expect(row('test (mac)')).toMatch(/Queued.*no worker is connected/))
    expect(row('publish')).toMatch(/Needs approval.*Shall it go out\?.*somebody has to approve it/)
    expect(row('announce')).toMatch(/Waiting.*it needs test \(mac\), publish/)
    expect(row('windows')).toMatch(/Skipped.*branch is not "main"/)
    expect(table.getByRole('link', { name: 'compile' }).getAttribute('href')).toBe('/builds/40')
    expect(table.getByRole('link', { name: 'test (mac)' }).getAttribute('href')).toBe('/buildrequests/52')
  })

  it('leads to each attempt of a job', async () => {
    const job = aJob(0, 'compile', ended(0, { buildid: 42, attempts: 2 }))
    const { view } = await open(aRun(), [job], {
      'GET api/v2/jobs/100/builds?field=buildid&field=results&order=buildid': () =>
        Response.json({
          builds: [
            { buildid: 40, results: 2 },
            { buildid: 42, results: 0 },
          ],
          meta: { total: 2 },
        }),
    })
    const table = within(await view.findByRole('table'))
    const [first] = await table.findAllByRole('link', { name: 'attempt 1 of compile, failed' })
    expect(first?.getAttribute('href')).toBe('/builds/40')
    expect(table.getAllByRole('link', { name: 'attempt 2 of compile, succeeded' })).toHaveLength(2)
  })

  it('draws the jobs, those of a matrix in one box', async () => {
    const { view } = await open(aRun(), STORY)
    const graph = within(await view.findByRole('region', { name: 'Graph of the jobs' }))
    expect(await graph.findByRole('link', { name: /compile.*Succeeded/ })).toBeDefined()
    expect(graph.getByText('test').textContent).toBe('test 2')
    expect(graph.getByRole('link', { name: /^linux.*Failed/ }).getAttribute('href')).toBe('/builds/41')
    // What has nothing to go to goes to its row.
    fireEvent.click(graph.getByRole('button', { name: /announce.*Waiting/ }))
    expect(document.activeElement?.id).toBe('job-104')
  })

  it('follows events', async () => {
    const { view } = await open(aRun(), [aJob(0, 'compile', { state: 'running', attempts: 1 })])
    const table = within(await view.findByRole('table'))
    await table.findByText('Running')
    act(() => {
      view.sockets[0]?.event('runs/7/jobs/100/update', aJob(0, 'compile', ended(0)))
      view.sockets[0]?.event('runs/7/complete', aRun({ state: 'complete', complete: true, results: 0 }))
    })
    await table.findByText('Succeeded')
    await waitFor(() => expect(document.title).toBe('✓ Succeeded · main line #7 – CI'))
    expect(view.queryByRole('button', { name: 'Stop' })).toBeNull()
  })

  it('has only the table for very many jobs, a page at a time', async () => {
    const { view } = await open(aRun(), STORY, {}, { total: 10_000 })
    await view.findByText(/10,000 jobs is too large for a graph/)
    expect(view.queryByRole('region', { name: 'Graph of the jobs' })).toBeNull()
    expect(view.getByText('Older →')).toBeDefined()
  })

  it('says that there is no such run', async () => {
    serve({})
    const view = await show(<RunView id={8} />)
    act(() => view.sockets[0]?.onopen?.())
    await view.findByText('There is no run 8 here')
  })
})

describe('the controls of a run', () => {
  it('stop it, with a reason', async () => {
    const { view, posted } = await open(aRun(), STORY, { 'POST api/v2/runs/7': done() })
    fireEvent.click(await view.findByRole('button', { name: 'Stop' }))
    fireEvent.change(view.getByLabelText('Reason'), { target: { value: 'wrong branch' } })
    fireEvent.click(view.getByText('Stop the run'))
    await view.findByText('The run is being stopped.')
    expect(posted()[0]?.body).toMatchObject({ method: 'stop', params: { reason: 'wrong branch' } })
  })

  it.each(['approve', 'reject'])('%s a job, with a reason', async (method) => {
    const { view, posted } = await open(aRun(), STORY, { 'POST api/v2/jobs/103': done() })
    const word = method === 'approve' ? 'Approve' : 'Reject'
    fireEvent.click(await view.findByRole('button', { name: `${word} publish` }))
    fireEvent.change(view.getByLabelText('Reason'), { target: { value: 'seen' } })
    fireEvent.click(view.getByText(`${word} the job`))
    await waitFor(() => expect(posted()).toHaveLength(1))
    expect(posted()[0]).toMatchObject({
      route: 'POST api/v2/jobs/103',
      body: { method, params: { reason: 'seen' } },
    })
  })

  it('leave approval to those who may', async () => {
    const named = aJob(0, 'publish', {
      state: 'awaiting_approval',
      definition: { approval: { users: ['ada'] } },
    })
    const { view } = await open(aRun(), [named], {}, { user: { username: 'bob' } })
    await view.findAllByText('one of these has to approve it: ada')
    await waitFor(() => expect(view.queryByRole('button', { name: 'Approve publish' })).toBeNull())
  })

  it('try again what has failed, and go to the new run', async () => {
    const over = aRun({ state: 'complete', complete: true, results: 2, complete_at: 1_700_000_090 })
    const { view, posted } = await open(over, [aJob(0, 'compile', ended(2))], {
      'POST api/v2/runs/7': done({ runid: 8 }),
      'POST api/v2/jobs/100': done({ runid: 9 }),
    })
    expect(view.queryByRole('button', { name: 'Stop' })).toBeNull()
    fireEvent.click(await view.findByRole('button', { name: 'Retry what failed' }))
    await waitFor(() => expect(view.router.state.location.pathname).toBe('/runs/8'))
    fireEvent.click(await view.findByRole('button', { name: 'Retry compile' }))
    await waitFor(() => expect(view.router.state.location.pathname).toBe('/runs/9'))
    expect(posted().map(({ body }) => (body as { method: string }).method)).toEqual(['retry', 'retry'])
  })
})
