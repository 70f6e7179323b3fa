import { Link, useParams, useSearch } from '@tanstack/react-router'
import { lazy, Suspense, useState } from 'react'
import { useLive } from '../api/live'
import { onePipeline, pipelineDefinition, pipelineRuns } from '../api/queries'
import type { Pipeline } from '../api/types'
import { Button } from '../components/Button'
import { Count, Page, Panel } from '../components/Page'
import { Pager } from '../components/Pager'
import { RunTable } from '../components/RunTable'
import { StartRunDialog } from '../components/StartRunDialog'
import { Empty, Failure, Loaded, Loading } from '../components/States'
import { formatCount } from '../lib/format'
import { runShown } from '../lib/runs'

const PlanGraph = lazy(() => import('../components/PlanGraph'))

const PAGE_SIZE = 50
/** A graph of more jobs would show nothing to anybody. */
const DRAWN = 300

export function PipelinePage() {
  const { pipeline } = useParams({ from: '/pipelines/$pipeline' })
  const { page } = useSearch({ from: '/pipelines/$pipeline' })
  if (!/^\d+$/.test(pipeline))
    return (
      <Page title={`Pipeline ${pipeline}`}>
        <Empty title={`"${pipeline}" is not the number of a pipeline`}>
          <Link to="/pipelines">To the pipelines</Link>
        </Empty>
      </Page>
    )
  return <PipelineView key={pipeline} id={Number(pipeline)} page={(page ?? 1) - 1} />
}

/** `page` counts from 0. */
export function PipelineView({ id, page }: { id: number; page: number }) {
  const query = useLive(onePipeline(id))
  if (query.data === undefined)
    return (
      <Page title={`Pipeline ${id}`}>
        {query.error?.kind === 'not-found' ? (
          <Empty title={`There is no pipeline ${id} here`}>
            <Link to="/pipelines">To the pipelines</Link>
          </Empty>
        ) : query.error ? (
          <Failure what={`pipeline ${id}`} error={query.error} retry={query.refetch} />
        ) : (
          <Loading what="the pipeline" />
        )}
      </Page>
    )
  return <Runs pipeline={query.data} page={page} />
}

function Runs({ pipeline, page }: { pipeline: Pipeline; page: number }) {
  const { pipelineid, name, description, active } = pipeline
  const runs = useLive(pipelineRuns(pipelineid, page, PAGE_SIZE))
  const [starting, setStarting] = useState(false)
  const last = page === 0 ? runs.data?.items[0] : undefined
  return (
    <Page
      title={name}
      {...(last ? { status: runShown(last).status } : {})}
      lead={
        <>
          {description && <p>{description}</p>}
          {!active && <p>no longer in the configuration</p>}
        </>
      }
      actions={
        active && (
          <Button kind="primary" onClick={() => setStarting(true)}>
            Start
          </Button>
        )
      }
    >
      {starting && <StartRunDialog pipeline={pipeline} onClose={() => setStarting(false)} />}
      {active && page === 0 && <Plan id={pipelineid} />}
      <Panel title="Runs">
        <Loaded query={runs} what={`the runs of ${name}`}>
          {({ items, total }) =>
            items.length > 0 ? (
              <>
                <RunTable runs={items} caption={`Runs of ${name}, newest first`} />
                <Pager page={page} size={PAGE_SIZE} shown={items.length} total={total} />
              </>
            ) : page > 0 ? (
              <Empty title="There are no older runs">
                <Link to="." search={{}}>
                  To the newest
                </Link>
              </Empty>
            ) : (
              <Empty title="This pipeline has not run yet">
                Start it with the button above, or wait for a change that a scheduler sends here.
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}

/** The shape that the next run will have. */
function Plan({ id }: { id: number }) {
  const jobs = useLive(pipelineDefinition(id)).data
  if (jobs === undefined || jobs.total === 0) return null
  return (
    <Panel
      title={
        <>
          Jobs <Count>{formatCount(jobs.total)}</Count>
        </>
      }
    >
      {jobs.total > DRAWN ? (
        <p role="note">A pipeline of {formatCount(jobs.total)} jobs is too large for a graph.</p>
      ) : (
        <Suspense fallback={<Loading what="the graph" />}>
          <PlanGraph jobs={jobs.items} />
        </Suspense>
      )}
    </Panel>
  )
}
