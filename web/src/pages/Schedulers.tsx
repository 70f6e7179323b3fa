import { useQuery } from '@tanstack/react-query'
import { path } from '../api/base'
import { call, type Page as ListPage, list } from '../api/client'
import type { ApiError } from '../api/errors'
import { useLive } from '../api/live'
import { allSchedulers } from '../api/queries'
import type { Scheduler, TryScheduler } from '../api/types'
import { useControl } from '../auth/session'
import { Button } from '../components/Button'
import { Count, Page, Panel } from '../components/Page'
import { Empty, Loaded } from '../components/States'
import { StatusText } from '../components/Status'
import { Ago } from '../components/Time'
import { formatCount } from '../lib/format'
import css from './Workers.module.css'

export function Schedulers() {
  const schedulers = useLive(allSchedulers())
  const set = useControl('switch the scheduler', ({ id, enabled }: { id: number; enabled: boolean }) =>
    call(path`schedulers/${id}`, 'enable', { enabled }).then(() => schedulers.refetch()),
  )
  return (
    <Page
      title="Schedulers"
      lead="Schedulers decide what is built when a change arrives, or when it is time."
    >
      <Panel
        title={
          <>All schedulers {schedulers.data && <Count>{formatCount(schedulers.data.items.length)}</Count>}</>
        }
      >
        <Loaded query={schedulers} what="the schedulers">
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="No scheduler is configured yet">
                Add one to the master's configuration and reload it; until then builds start only by hand.
              </Empty>
            ) : (
              <table className={css.table}>
                <thead>
                  <tr>
                    <th>Scheduler</th>
                    <th>State</th>
                    <th>
                      <span className="visually-hidden">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((scheduler) => (
                    <tr key={scheduler.schedulerid}>
                      <th scope="row">{scheduler.name}</th>
                      <td>
                        <State scheduler={scheduler} />
                      </td>
                      <td className={css.action}>
                        <Button
                          small
                          busy={set.isPending && set.variables.id === scheduler.schedulerid}
                          aria-label={`${scheduler.enabled ? 'Disable' : 'Enable'} ${scheduler.name}`}
                          onClick={() =>
                            set.mutate({ id: scheduler.schedulerid, enabled: !scheduler.enabled })
                          }
                        >
                          {scheduler.enabled ? 'Disable' : 'Enable'}
                        </Button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )
          }
        </Loaded>
      </Panel>
      <Refused />
    </Page>
  )
}

/** Jobs to try that were not accepted: whoever sent one may have no other way to learn why. */
function Refused() {
  const { data } = useQuery<ListPage<TryScheduler>, ApiError>({
    queryKey: ['tryschedulers'],
    queryFn: ({ signal }) => list('tryschedulers', 'tryschedulers', { order: 'name' }, signal),
    // No event tells of them.
    refetchInterval: 30_000,
  })
  const jobs = (data?.items ?? [])
    .flatMap(({ name, refused }) => refused.map((job) => ({ ...job, name })))
    .sort((a, b) => b.at - a.at)
  if (jobs.length === 0) return null
  return (
    <Panel title="Refused try jobs">
      <table className={css.table}>
        <thead>
          <tr>
            <th>Scheduler</th>
            <th>When</th>
            <th>File</th>
            <th>Why</th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <tr key={`${job.name} ${job.at} ${job.file ?? ''} ${job.reason}`}>
              <th scope="row">{job.name}</th>
              <td>
                <Ago at={job.at} />
              </td>
              <td>{job.file ?? <span className={css.muted}>none</span>}</td>
              <td>{job.reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  )
}

function State({ scheduler }: { scheduler: Scheduler }) {
  if (!scheduler.enabled) return <StatusText status="cancelled" text="Disabled" />
  if (scheduler.master === null) return <StatusText status="unknown" text="Not running" />
  return <StatusText status="success" text="Enabled" />
}
