import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { useLive } from '../api/live'
import { runningBuilds } from '../api/queries'
import type { Build, Worker } from '../api/types'
import { Button } from '../components/Button'
import { Count, Page, Panel } from '../components/Page'
import { Empty, Loaded } from '../components/States'
import { StatusText } from '../components/Status'
import { Ago, At, Duration } from '../components/Time'
import { WorkerControls } from '../components/WorkerControls'
import { formatCount } from '../lib/format'
import { useBuilders, useWorkers } from '../lib/names'
import { clockSkew, lastThere, machine, slots, workerState } from '../lib/workers'
import css from './Workers.module.css'

export function Workers() {
  const { query } = useWorkers()
  const running = useLive(runningBuilds())
  const [old, setOld] = useState(false)
  return (
    <Page title="Workers">
      <Loaded query={query} what="the workers">
        {({ items }) => {
          // One that is neither configured nor connected is history.
          const current = items.filter((w) => w.configured_on.length > 0 || w.connected_to.length > 0)
          const shown = old ? items : current
          const connected = current.filter((w) => w.connected_to.length > 0).length
          return (
            <Panel
              title={
                <>
                  All workers <Count>{formatCount(shown.length)}</Count>
                </>
              }
              aside={
                <>
                  {formatCount(connected)} connected
                  {items.length > current.length && (
                    <Button small kind="quiet" aria-pressed={old} onClick={() => setOld(!old)}>
                      Not in use ({formatCount(items.length - current.length)})
                    </Button>
                  )}
                </>
              }
            >
              {shown.length === 0 ? (
                <Empty title="No worker is configured yet">
                  Name a worker in the master's configuration, reload it, and start{' '}
                  <code>ironmaster-worker</code> on the machine that shall build.
                </Empty>
              ) : (
                <table className={css.table}>
                  <thead>
                    <tr>
                      <th>Worker</th>
                      <th>State</th>
                      <th>Builds now</th>
                      <th>Machine</th>
                      <th>
                        <span className="visually-hidden">Actions</span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {shown.map((worker) => (
                      <WorkerRow
                        key={worker.workerid}
                        worker={worker}
                        builds={running.data?.items.filter((b) => b.workerid === worker.workerid) ?? []}
                      />
                    ))}
                  </tbody>
                </table>
              )}
            </Panel>
          )
        }}
      </Loaded>
    </Page>
  )
}

function WorkerRow({ worker, builds }: { worker: Worker; builds: readonly Build[] }) {
  const builders = useBuilders()
  const { status, word } = workerState(worker)
  const room = slots(worker)
  const skew = clockSkew(worker)
  const last = lastThere(worker)
  return (
    <tr>
      <th scope="row">
        <Link to="/workers/$worker" params={{ worker: String(worker.workerid) }}>
          {worker.name}
        </Link>
      </th>
      <td>
        <StatusText status={status} text={word} />
        {worker.paused && worker.pause_reason && <p className={css.reason}>{worker.pause_reason}</p>}
        {last && (
          <p className={css.reason}>
            {last.what} <Ago at={last.at} />
          </p>
        )}
        {worker.downtime_until != null && (
          <p className={css.reason}>
            downtime until <At at={worker.downtime_until} />
          </p>
        )}
        {skew && <p className={css.reason}>clock {skew}</p>}
      </td>
      <td>
        {room !== undefined && (
          <span className={css.muted}>
            {builds.length} of {room}{' '}
          </span>
        )}
        {builds.length === 0 && room === undefined && <span className={css.muted}>idle</span>}
        <ul className={css.builds}>
          {builds.map((build) => (
            <li key={build.buildid}>
              <Link
                to="/builders/$builder/builds/$number"
                params={{ builder: String(build.builderid), number: String(build.number) }}
              >
                {builders.name(build.builderid)} #{build.number}
              </Link>{' '}
              <span className={css.muted}>
                <Duration from={build.started_at} to={build.complete_at} />
              </span>
            </li>
          ))}
        </ul>
      </td>
      <td className={css.muted}>{machine(worker)}</td>
      <td className={css.action}>
        <WorkerControls worker={worker} small />
      </td>
    </tr>
  )
}
