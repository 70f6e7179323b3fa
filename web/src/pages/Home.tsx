import { Link } from '@tanstack/react-router'
import { useLive } from '../api/live'
import { finishedBuilds, pendingRequests, runningBuilds } from '../api/queries'
import { BuildTable } from '../components/BuildTable'
import { Count, Page, Panel } from '../components/Page'
import { Projects } from '../components/Projects'
import { RequestTable } from '../components/RequestTable'
import { Empty, Loaded } from '../components/States'
import { counted, formatCount } from '../lib/format'
import { useBuilders, useWorkers } from '../lib/names'

/** Further ones are one click away. */
const SHOWN_PENDING = 8
const SHOWN_FINISHED = 25

export function Home() {
  const running = useLive(runningBuilds())
  const pending = useLive(pendingRequests())
  const finished = useLive(finishedBuilds(SHOWN_FINISHED))
  const builders = useBuilders()
  const workers = useWorkers()
  const workerItems = workers.query.data?.items
  const connected = workerItems?.filter((w) => w.connected_to.length > 0).length ?? 0
  const configured =
    workerItems?.filter((w) => w.connected_to.length > 0 || w.configured_on.length > 0).length ?? 0
  const paused = workerItems?.filter((w) => w.paused).length ?? 0
  const configuredBuilders = builders.query.data?.items.filter((b) => b.masterids.length > 0)
  const active = configuredBuilders?.length
  const count = running.data?.total

  return (
    <Page
      title={count ? `${formatCount(count)} running` : 'Overview'}
      heading="Overview"
      {...(count ? { status: 'running' as const } : {})}
      lead={
        workerItems &&
        active !== undefined && (
          <>
            <Link to="/builders">{counted(active, 'builder')}</Link> ·{' '}
            <Link to="/workers">
              {formatCount(connected)} of {counted(configured, 'worker')} connected
            </Link>
            {paused > 0 && `, ${formatCount(paused)} paused`}
          </>
        )
      }
    >
      <Panel title={<>Running now {count !== undefined && <Count>{formatCount(count)}</Count>}</>}>
        <Loaded query={running} what="the running builds">
          {({ items }) =>
            items.length > 0 ? (
              <BuildTable builds={items} caption="Running builds" />
            ) : active === 0 ? (
              <Empty title="No builder is configured yet">
                Add a worker, a builder and a scheduler to the master's configuration and reload it. Then a
                change starts a build, and you see it here.
              </Empty>
            ) : (
              <Empty title="Nothing is running">
                A new change starts builds by itself; or open a <Link to="/builders">builder</Link> and force
                one.
              </Empty>
            )
          }
        </Loaded>
      </Panel>
      {(pending.error !== null || (pending.data?.items.length ?? 0) > 0) && (
        <Panel
          title={
            <>Pending {pending.data !== undefined && <Count>{formatCount(pending.data.total)}</Count>}</>
          }
          aside={<Link to="/pendingbuildrequests">All pending requests</Link>}
        >
          <Loaded query={pending} what="the pending requests">
            {({ items }) => <RequestTable requests={items.slice(0, SHOWN_PENDING)} />}
          </Loaded>
        </Panel>
      )}
      {configuredBuilders?.some(({ projectid }) => projectid !== null) && (
        <Projects builders={configuredBuilders} />
      )}
      <Panel title="Recent builds">
        <Loaded query={finished} what="the recent builds">
          {({ items }) =>
            items.length > 0 ? (
              <BuildTable builds={items} caption="Builds that ended last" />
            ) : (
              <Empty title="No build has ended yet">Builds appear here when they are done.</Empty>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}
