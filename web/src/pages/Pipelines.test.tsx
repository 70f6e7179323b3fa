// @vitest-environment happy-dom

import { act, cleanup, fireEvent, waitFor, within } from '@testing-library/react'
import type { ReactNode } from 'react'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { serve, show } from '../test/render'
import { aPipeline, aRun } from '../test/runs'
import { PipelineView } from './Pipeline'
import { Pipelines } from './Pipelines'

// Loaded beforehand: how long that takes is not what these tests are about.
beforeAll(() => import('../components/PlanGraph'))
afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

const FIELDS = [
  ...['runid', 'pipelineid', 'pipeline', 'state', 'complete', 'results', 'why', 'reason', 'scheduler'],
  ...['created_at', 'started_at', 'complete_at', 'sourcestamps'],
]
const fields = FIELDS.map((field) => `&field=${field}`).join('')
const LATEST = `GET api/v2/runs?order=-runid&limit=1000${fields}`
const OF_ONE = `GET api/v2/pipelines/3/runs?order=-runid&limit=50&offset=0${fields}`

const DEFINITION = 'GET api/v2/pipelines/3/definition'

const over = (runid: number, results: 0 | 2) =>
  aRun({ runid, state: 'complete', complete: true, results, complete_at: 1_700_000_100 })
const page = (name: string, items: unknown[]) => () =>
  Response.json({ [name]: items, meta: { total: items.length } })

async function opened(content: ReactNode) {
  const view = await show(content)
  act(() => view.sockets[0]?.onopen?.())
  return view
}

describe('the page of all pipelines', () => {
  it('shows the last runs of each, and leaves out what is gone without a trace', async () => {
    serve({
      'GET api/v2/pipelines?order=name': page('pipelines', [
        aPipeline(),
        aPipeline({ pipelineid: 4, name: 'nightly' }),
        aPipeline({ pipelineid: 5, name: 'of old', active: false }),
      ]),
      [LATEST]: page('runs', [aRun({ runid: 12 }), over(11, 2), over(10, 0)]),
    })
    const view = await opened(<Pipelines />)
    const squares = within(await view.findByLabelText('Last runs of main line, newest last'))
    expect(squares.getAllByRole('link').map((link) => link.getAttribute('aria-label'))).toEqual([
      '#10: Succeeded',
      '#11: Failed',
      '#12: Running',
    ])
    expect(view.getByText('no runs yet')).toBeDefined()
    expect(view.queryByText('of old')).toBeNull()
  })

  it('says what to do when there is none', async () => {
    serve({ 'GET api/v2/pipelines?order=name': page('pipelines', []), [LATEST]: page('runs', []) })
    const view = await opened(<Pipelines />)
    await view.findByText('No pipeline is configured yet')
  })

  it('starts one with what was filled in, and goes to the run', async () => {
    const asked = serve({
      'GET api/v2/pipelines?order=name': page('pipelines', [aPipeline()]),
      [LATEST]: page('runs', []),
      'POST api/v2/pipelines/3': () => Response.json({ jsonrpc: '2.0', id: 1, result: { runid: 13 } }),
    })
    const view = await opened(<Pipelines />)
    fireEvent.click(await view.findByRole('button', { name: 'Start main line' }))
    fireEvent.change(view.getByLabelText('Branch'), { target: { value: ' main ' } })
    fireEvent.submit(view.getByLabelText('Reason').closest('form') as HTMLFormElement)
    await waitFor(() => expect(view.router.state.location.pathname).toBe('/runs/13'))
    expect(asked.find(({ route }) => route.startsWith('POST'))?.body).toMatchObject({
      method: 'start',
      params: { branch: 'main', reason: 'started in the web UI' },
    })
  })

  it('shows in the form why it was not started', async () => {
    serve({
      'GET api/v2/pipelines?order=name': page('pipelines', [aPipeline()]),
      [LATEST]: page('runs', []),
      'POST api/v2/pipelines/3': () =>
        Response.json(
          { jsonrpc: '2.0', id: 1, error: { code: -32600, message: 'disk full' } },
          { status: 500 },
        ),
    })
    const view = await opened(<Pipelines />)
    fireEvent.click(await view.findByRole('button', { name: 'Start main line' }))
    fireEvent.submit(view.getByLabelText('Reason').closest('form') as HTMLFormElement)
    await view.findByText(/Could not start the pipeline: disk full/)
  })
})

describe('the page of a pipeline', () => {
  it('lists its runs and follows them', async () => {
    serve({
      'GET api/v2/pipelines/3': page('pipelines', [aPipeline()]),
      [OF_ONE]: page('runs', [over(10, 0)]),
      [DEFINITION]: page('definition', []),
    })
    const view = await opened(<PipelineView id={3} page={0} />)
    const row = async (name: RegExp) => view.findByRole('row', { name })
    await row(/Succeeded.*#10/)
    act(() => view.sockets[0]?.event('pipelines/3/runs/11/new', aRun({ runid: 11 })))
    await row(/Running.*#11/)
    expect(view.getAllByRole('row')[1]?.textContent).toMatch(/#11/)
    expect(view.getByRole('button', { name: 'Start' })).toBeDefined()
  })

  it('draws the jobs that the next run will have', async () => {
    const planned = (number: number, name: string, more: object) => ({
      ...{ number, name, group: name, matrix: {}, needs: [] },
      ...more,
    })
    serve({
      'GET api/v2/pipelines/3': page('pipelines', [aPipeline()]),
      [OF_ONE]: page('runs', []),
      [DEFINITION]: page('definition', [
        planned(0, 'compile', { definition: { work: { type: 'build', builder: 'all of it' } } }),
        planned(1, 'publish', {
          needs: [0],
          definition: { work: { type: 'pipeline', pipeline: 'site', wait: true }, approval: {}, when: null },
        }),
      ]),
    })
    const view = await opened(<PipelineView id={3} page={0} />)
    const graph = within(await view.findByRole('region', { name: "Graph of the pipeline's jobs" }))
    const compile = await graph.findByRole('link', { name: /compile.*builds all of it/ })
    expect(compile.getAttribute('href')).toBe('/builders/all%20of%20it')
    expect(graph.getByTitle('publish: starts site · approval')).toBeDefined()
  })

  it('does not start what is no longer configured', async () => {
    serve({
      'GET api/v2/pipelines/3': page('pipelines', [aPipeline({ active: false })]),
      [OF_ONE]: page('runs', []),
    })
    const view = await opened(<PipelineView id={3} page={0} />)
    await view.findByText('no longer in the configuration')
    expect(view.queryByRole('button', { name: 'Start' })).toBeNull()
  })
})
