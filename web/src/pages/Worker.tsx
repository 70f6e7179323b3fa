import { useQuery } from '@tanstack/react-query'
import { Link, useParams } from '@tanstack/react-router'
import { path } from '../api/base'
import { get } from '../api/client'
import type { ApiError } from '../api/errors'
import { useLive } from '../api/live'
import { workerBuilds } from '../api/queries'
import type { Worker } from '../api/types'
import { BuildTable } from '../components/BuildTable'
import { Page, Panel } from '../components/Page'
import { Empty, Failure, Loaded, Loading } from '../components/States'
import { StatusText } from '../components/Status'
import { Ago, At } from '../components/Time'
import { WorkerControls } from '../components/WorkerControls'
import { useBuilders, useWorkers } from '../lib/names'
import { clockSkew, lastThere, slots, workerInfo, workerState } from '../lib/workers'
import facts from './Build.module.css'

const SHOWN = 50
const LABELS: Readonly<Record<string, string>> = {
  host: 'Host',
  admin: 'Admin',
  version: 'Version',
  access_uri: 'Access',
  hostname: 'Name of the machine',
  os: 'System',
  os_version: 'System version',
  arch: 'Architecture',
  cpus: 'CPUs',
  memory_bytes: 'Memory',
  basedir: 'Folder',
  slots: 'Slots',
  protocol: 'Kind of session',
}

export function WorkerPage() {
  const { worker: text } = useParams({ from: '/workers/$worker' })
  const { query, byId } = useWorkers()
  const known = byId?.get(Number(text)) ?? query.data?.items.find((w) => w.name === text)
  const one = useQuery<Worker, ApiError>({
    queryKey: ['workers', 'one', text],
    queryFn: ({ signal }) => get('workers', path`workers/${text}`, {}, signal),
    enabled: known === undefined && !query.isPending,
  })
  const worker = known ?? one.data
  if (worker !== undefined) return <WorkerView worker={worker} />
  return (
    <Page title={`Worker ${text}`}>
      {one.error ? (
        <Failure what={`worker ${text}`} error={one.error} retry={one.refetch} />
      ) : (
        <Loading what="the worker" />
      )}
    </Page>
  )
}

function WorkerView({ worker }: { worker: Worker }) {
  const builds = useLive(workerBuilds(worker.workerid, SHOWN))
  const builders = useBuilders()
  const { status, word } = workerState(worker)
  const info = workerInfo(worker)
  const room = slots(worker)
  const skew = clockSkew(worker)
  const last = lastThere(worker)
  return (
    <Page
      title={`${worker.name} (${word.toLowerCase()})`}
      heading={worker.name}
      lead={
        <>
          <StatusText status={status} text={word} />
          {worker.paused && worker.pause_reason && ` ${worker.pause_reason}`}
          {last && (
            <>
              , {last.what} <Ago at={last.at} />
            </>
          )}
          {worker.downtime_until != null && (
            <>
              , takes nothing new until <At at={worker.downtime_until} /> (downtime)
            </>
          )}
        </>
      }
      actions={<WorkerControls worker={worker} />}
    >
      {(info.length > 0 || worker.configured_on.length > 0) && (
        <dl className={facts.facts}>
          {info.map(([name, value]) => (
            <div key={name}>
              <dt>{LABELS[name] ?? name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
          {skew && (
            <div>
              <dt>Clock</dt>
              <dd>{skew} of the master's</dd>
            </div>
          )}
          <div>
            <dt>Builders</dt>
            <dd>
              {worker.configured_on.slice(0, 12).map(({ builderid }, i) => (
                <span key={builderid}>
                  {i > 0 && ', '}
                  <Link to="/builders/$builder" params={{ builder: String(builderid) }}>
                    {builders.name(builderid)}
                  </Link>
                </span>
              ))}
              {worker.configured_on.length > 12 && ` and ${worker.configured_on.length - 12} more`}
              {worker.configured_on.length === 0 && 'none'}
            </dd>
          </div>
          {worker.downtime_from != null && (
            <div>
              <dt>Next downtime</dt>
              <dd>
                <At at={worker.downtime_from} />
              </dd>
            </div>
          )}
          {room !== undefined && info.every(([name]) => name !== 'slots') && (
            <div>
              <dt>Slots</dt>
              <dd>{room}</dd>
            </div>
          )}
        </dl>
      )}
      <Panel title="Builds">
        <Loaded query={builds} what={`the builds of ${worker.name}`}>
          {({ items }) =>
            items.length > 0 ? (
              <BuildTable
                builds={items}
                caption={`Builds of ${worker.name}, newest first`}
                showWorker={false}
              />
            ) : (
              <Empty title="This worker has not built anything yet">
                {worker.connected_to.length === 0
                  ? 'It is not connected. Start the worker program on its machine.'
                  : 'It gets the next build of one of its builders.'}
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}
