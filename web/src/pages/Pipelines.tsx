import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { useLive } from '../api/live'
import { allPipelines, latestRuns } from '../api/queries'
import type { Pipeline, Run } from '../api/types'
import { Button } from '../components/Button'
import { Count, Page, Panel } from '../components/Page'
import { RunSquares } from '../components/RunTable'
import { StartRunDialog } from '../components/StartRunDialog'
import { Empty, Failure, Loaded } from '../components/States'
import { Ago } from '../components/Time'
import { formatCount } from '../lib/format'
import css from './Pipelines.module.css'

/** How many of the newest runs of all pipelines are looked at, and shown of each. */
const LATEST = 1000
const SHOWN = 10

export function Pipelines() {
  const pipelines = useLive(allPipelines())
  const runs = useLive(latestRuns(LATEST))
  const [starting, setStarting] = useState<Pipeline | undefined>(undefined)
  const runsOf = new Map<number, Run[]>()
  for (const run of runs.data?.items ?? []) {
    const some = runsOf.get(run.pipelineid)
    if (some === undefined) runsOf.set(run.pipelineid, [run])
    else if (some.length < SHOWN) some.push(run)
  }
  // What the configuration has no more is shown while there is something to see of it.
  const shown = (items: readonly Pipeline[]) =>
    items.filter(({ active, pipelineid }) => active || runsOf.has(pipelineid))
  return (
    <Page title="Pipelines" lead="A pipeline is several jobs as one thing. What happens is a run of it.">
      {starting && <StartRunDialog pipeline={starting} onClose={() => setStarting(undefined)} />}
      {runs.error && <Failure what="the last runs" error={runs.error} retry={runs.refetch} />}
      <Panel
        title={
          <>
            All pipelines {pipelines.data && <Count>{formatCount(shown(pipelines.data.items).length)}</Count>}
          </>
        }
      >
        <Loaded query={pipelines} what="the pipelines">
          {({ items }) =>
            shown(items).length === 0 ? (
              <Empty title="No pipeline is configured yet">
                A <code>[[pipeline]]</code> in the master's configuration makes one thing of several builds:
                what needs what, under which conditions, with whose approval.
              </Empty>
            ) : (
              <table className={css.table}>
                <caption className="visually-hidden">Pipelines with their last runs</caption>
                <thead>
                  <tr>
                    <th>Pipeline</th>
                    <th>Last runs</th>
                    <th className={css.optional}>Last created</th>
                    <th>
                      <span className="visually-hidden">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {shown(items).map((pipeline) => {
                    const own = runsOf.get(pipeline.pipelineid) ?? []
                    return (
                      <tr key={pipeline.pipelineid}>
                        <th scope="row">
                          <Link to="/pipelines/$pipeline" params={{ pipeline: String(pipeline.pipelineid) }}>
                            {pipeline.name}
                          </Link>
                          {pipeline.description && <p className={css.muted}>{pipeline.description}</p>}
                          {!pipeline.active && <p className={css.muted}>no longer in the configuration</p>}
                        </th>
                        <td>
                          {own.length > 0 ? (
                            <RunSquares runs={own} name={pipeline.name} />
                          ) : (
                            runs.data && <span className={css.muted}>no runs yet</span>
                          )}
                        </td>
                        <td className={`${css.muted} ${css.optional}`}>
                          {own[0] && <Ago at={own[0].created_at} />}
                        </td>
                        <td className={css.action}>
                          {pipeline.active && (
                            <Button
                              small
                              aria-label={`Start ${pipeline.name}`}
                              onClick={() => setStarting(pipeline)}
                            >
                              Start
                            </Button>
                          )}
                        </td>
                      </tr>
                    )
                  })}
                </tbody>
              </table>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}
