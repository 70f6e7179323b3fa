import { path } from '../api/base'
import { call } from '../api/client'
import { useLive } from '../api/live'
import { allSchedulers } from '../api/queries'
import type { Scheduler } from '../api/types'
import { useControl } from '../auth/session'
import { Button } from '../components/Button'
import { Count, Page, Panel } from '../components/Page'
import { Empty, Loaded } from '../components/States'
import { StatusText } from '../components/Status'
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
    </Page>
  )
}

function State({ scheduler }: { scheduler: Scheduler }) {
  if (!scheduler.enabled) return <StatusText status="cancelled" text="Disabled" />
  if (scheduler.master === null) return <StatusText status="unknown" text="Not running" />
  return <StatusText status="success" text="Enabled" />
}
