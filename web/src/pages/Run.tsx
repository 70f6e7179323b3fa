import { Link, useParams, useSearch } from '@tanstack/react-router'
import { lazy, type ReactNode, Suspense, useState } from 'react'
import { path } from '../api/base'
import { call } from '../api/client'
import { useLive } from '../api/live'
import { oneChange, oneRun, runJobs } from '../api/queries'
import type { Run } from '../api/types'
import { useControl } from '../auth/session'
import { Button } from '../components/Button'
import { JobOfRun } from '../components/JobLink'
import { JobTable } from '../components/JobTable'
import { Count, Page, Panel } from '../components/Page'
import { Pager } from '../components/Pager'
import { ReasonDialog } from '../components/ReasonDialog'
import { RunProblem } from '../components/RunProblem'
import { type NewRun, useFollowRun } from '../components/StartRunDialog'
import { Empty, Failure, Loaded, Loading } from '../components/States'
import { StatusIcon } from '../components/Status'
import { Ago, Duration } from '../components/Time'
import { firstLine, formatCount, formatDate, shortRevision } from '../lib/format'
import { canRetry, runShown } from '../lib/runs'
import css from './Build.module.css'

const RunGraph = lazy(() => import('../components/RunGraph'))

/** So many jobs are on one page; a graph of more would show nothing to anybody. */
export const JOBS = 300

export function RunPage() {
  const { run } = useParams({ from: '/runs/$run' })
  const { page } = useSearch({ from: '/runs/$run' })
  if (!/^\d+$/.test(run))
    return (
      <Page title={`Run ${run}`}>
        <Empty title={`"${run}" is not the number of a run`}>
          <Link to="/pipelines">To the pipelines</Link>
        </Empty>
      </Page>
    )
  return <RunView key={run} id={Number(run)} page={(page ?? 1) - 1} />
}

/** `page` of its jobs counts from 0. */
export function RunView({ id, page = 0 }: { id: number; page?: number }) {
  const query = useLive(oneRun(id))
  if (query.data === undefined)
    return (
      <Page title={`Run ${id}`}>
        {query.error?.kind === 'not-found' ? (
          <Empty title={`There is no run ${id} here`}>
            It has not been made yet, or it is kept no longer. <Link to="/pipelines">To the pipelines</Link>
          </Empty>
        ) : query.error ? (
          <Failure what={`run ${id}`} error={query.error} retry={query.refetch} />
        ) : (
          <Loading what="the run" />
        )}
      </Page>
    )
  return (
    <RunDetails
      run={query.data}
      page={page}
      failure={query.error && <Failure what="the newest state" error={query.error} retry={query.refetch} />}
    />
  )
}

function RunDetails({ run, page, failure }: { run: Run; page: number; failure: ReactNode }) {
  const { runid, pipeline } = run
  const { status, text } = runShown(run)
  const jobs = useLive(runJobs(runid, page, JOBS))
  const [stopping, setStopping] = useState(false)
  const follow = useFollowRun()
  const stop = useControl('stop the run', (reason: string) => call(path`runs/${runid}`, 'stop', { reason }), {
    done: 'The run is being stopped.',
  })
  const retry = useControl('try the run again', () => call<NewRun>(path`runs/${runid}`, 'retry'), {
    onSuccess: follow,
  })
  const again = run.state === 'stopping'
  return (
    <Page
      title={`${text} · ${pipeline} #${runid}`}
      status={status}
      heading={
        <span className={css.heading}>
          <StatusIcon status={status} size={26} />
          <span>
            <Link
              to="/pipelines/$pipeline"
              params={{ pipeline: String(run.pipelineid) }}
              className={css.builder}
            >
              {pipeline}
            </Link>{' '}
            <span className={css.number}>#{runid}</span>
          </span>
        </span>
      }
      lead={
        <span className={css.state}>
          <strong data-status={status} className={css.result}>
            {text}
          </strong>
          {run.why && <span>{run.why}</span>}
          {run.started_at !== null && (
            <span>
              {run.complete ? 'took ' : 'for '}
              <Duration from={run.started_at} to={run.complete_at} />
            </span>
          )}
          <span>
            {formatDate(run.created_at)} (<Ago at={run.created_at} />)
          </span>
        </span>
      }
      actions={
        run.complete ? (
          canRetry(run) && (
            <Button busy={retry.isPending} onClick={() => retry.mutate(undefined)}>
              Retry what failed
            </Button>
          )
        ) : (
          <Button kind="danger" busy={stop.isPending} onClick={() => setStopping(true)}>
            {again ? 'Stop at once' : 'Stop'}
          </Button>
        )
      }
    >
      {failure}
      {stopping && (
        <ReasonDialog
          title={`Stop ${pipeline} #${runid}?`}
          text={
            again
              ? 'What is still to be cleaned up is stopped, too.'
              : 'What has not started is skipped, and what runs is asked to end. Jobs that always run still do.'
          }
          confirm="Stop the run"
          danger
          onClose={() => setStopping(false)}
          onConfirm={(reason) => {
            setStopping(false)
            stop.mutate(reason || 'stopped in the web UI')
          }}
        />
      )}
      <Facts run={run} />
      <RunProblem run={run} />
      <Loaded query={jobs} what="the jobs">
        {({ items, total }) => (
          <>
            {total > JOBS ? (
              <p role="note">
                A run of {formatCount(total)} jobs is too large for a graph; here is the table of its jobs.
              </p>
            ) : (
              items.length > 0 && (
                <Panel title="Graph">
                  <Suspense fallback={<Loading what="the graph" />}>
                    <RunGraph jobs={items} />
                  </Suspense>
                </Panel>
              )
            )}
            <Panel
              title={
                <>
                  Jobs <Count>{formatCount(total)}</Count>
                </>
              }
            >
              {items.length > 0 ? (
                <JobTable jobs={items} runComplete={run.complete} />
              ) : (
                <Empty title="There are no jobs here" />
              )}
              <Pager page={page} size={JOBS} shown={items.length} total={total} />
            </Panel>
          </>
        )}
      </Loaded>
    </Page>
  )
}

function Facts({ run }: { run: Run }) {
  const stamp = run.sourcestamps[0]
  const newest = run.changes.length > 0 ? Math.max(...run.changes) : undefined
  const facts: [string, ReactNode][] = [
    ['Change', newest !== undefined && <NewestChange id={newest} others={run.changes.length - 1} />],
    ['Reason', run.reason],
    ['Scheduler', run.scheduler],
    ['Branch', stamp?.branch],
    ['Revision', stamp?.revision && <code title={stamp.revision}>{shortRevision(stamp.revision)}</code>],
    [
      'Repository',
      stamp?.repository && (
        <span className={css.repository} title={stamp.repository}>
          {stamp.repository}
        </span>
      ),
    ],
    [
      'Jobs from',
      run.source && (
        <span className={css.repository} title={run.source.repository}>
          {run.source.file}
          {run.source.revision && (
            <>
              {' at '}
              <code title={run.source.revision}>{shortRevision(run.source.revision)}</code>
            </>
          )}
          {run.trusted ? ', trusted' : ', not trusted'}
        </span>
      ),
    ],
    ['Ended', run.complete_at !== null && <Ago at={run.complete_at} />],
    ['Stopped by', run.stopped_by],
    ['Started by', run.parent_jobid !== null && <JobOfRun id={run.parent_jobid} />],
    [
      'Tries again',
      run.retried_runid !== null && (
        <Link to="/runs/$run" params={{ run: String(run.retried_runid) }}>
          run {run.retried_runid}
        </Link>
      ),
    ],
  ]
  return (
    <dl className={css.facts}>
      {facts.map(([label, value]) =>
        value ? (
          <div key={label} className={label === 'Change' || label === 'Reason' ? css.wide : undefined}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ) : null,
      )}
      {run.sourcestamps.length > 1 && (
        <div className={css.wide}>
          <dt>Code bases</dt>
          <dd>
            {run.sourcestamps.map((each) => (
              <span key={each.ssid} className={css.stamp}>
                {each.codebase || each.repository} {each.branch}{' '}
                {each.revision && <code>{shortRevision(each.revision)}</code>}
              </span>
            ))}
          </dd>
        </div>
      )}
    </dl>
  )
}

function NewestChange({ id, others }: { id: number; others: number }) {
  const change = useLive(oneChange(id)).data
  return (
    <>
      <Link to="/changes/$change" params={{ change: String(id) }}>
        {(change && firstLine(change.comments)) || `change ${id}`}
      </Link>
      {others > 0 && ` and ${formatCount(others)} before it`}
    </>
  )
}
