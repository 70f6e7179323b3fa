import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import { path } from '../api/base'
import { call } from '../api/client'
import { useLive } from '../api/live'
import {
  buildChanges,
  buildProperties,
  buildSteps,
  oneBuild,
  oneBuildset,
  oneRequest,
  whyStepWaits,
} from '../api/queries'
import type { Build, Buildset, Change, Properties, SourceStamp } from '../api/types'
import { useControl } from '../auth/session'
import { Button } from '../components/Button'
import { ChangeList } from '../components/ChangeList'
import { type Started, useFollowRequest } from '../components/ForceDialog'
import { JobOfRun } from '../components/JobLink'
import { Page, Panel } from '../components/Page'
import { PropertyTable } from '../components/PropertyTable'
import { ReasonDialog } from '../components/ReasonDialog'
import { Empty, Failure, Loaded, Loading } from '../components/States'
import { StatusIcon } from '../components/Status'
import { Steps } from '../components/Steps'
import { Tabs } from '../components/Tabs'
import { Ago, Duration } from '../components/Time'
import { describeCause } from '../lib/cause'
import { firstLine, formatCount, formatDate, formatDuration, shortRevision } from '../lib/format'
import { useBuilders, useWorkers } from '../lib/names'
import { builtRevision, textProperty } from '../lib/properties'
import { buildStatus, type Status, statusWord, stepStatus } from '../lib/results'
import css from './Build.module.css'
import { useBuilderId } from './useBuilderId'

export function BuildPage() {
  const { builder, number } = useParams({ from: '/builders/$builder/builds/$number' })
  const id = useBuilderId(builder)
  const parsed = /^\d+$/.test(number) ? Number(number) : undefined
  if (id.builderid !== undefined && parsed !== undefined)
    return <BuildView key={`${id.builderid}/${parsed}`} builderid={id.builderid} number={parsed} />
  return (
    <Page title={`Build ${number}`}>
      {parsed === undefined ? (
        <Empty title={`"${number}" is not a build number`} />
      ) : id.error ? (
        <Failure what={`builder ${builder}`} error={id.error} retry={id.refetch} />
      ) : (
        <Loading what="the build" />
      )}
    </Page>
  )
}

function BuildView({ builderid, number }: { builderid: number; number: number }) {
  const query = useLive(oneBuild(builderid, number))
  const builders = useBuilders()
  const name = builders.name(builderid)
  const build = query.data
  if (build === undefined) {
    return (
      <Page title={`${name} #${number}`}>
        {query.error?.kind === 'not-found' ? (
          <Empty title={`There is no build ${number} here`}>
            It has not begun yet, or it is kept no longer.{' '}
            <Link to="/builders/$builder" params={{ builder: String(builderid) }}>
              To the builds of {name}
            </Link>
          </Empty>
        ) : query.error ? (
          <Failure what={`build ${number} of ${name}`} error={query.error} retry={query.refetch} />
        ) : (
          <Loading what="the build" />
        )}
      </Page>
    )
  }
  return (
    <BuildDetails
      build={build}
      name={name}
      failure={query.error && <Failure what="the newest state" error={query.error} retry={query.refetch} />}
    />
  )
}

function BuildDetails({ build, name, failure }: { build: Build; name: string; failure: ReactNode }) {
  const { buildid, builderid, number } = build
  const search = useSearch({ from: '/builders/$builder/builds/$number' })
  const navigate = useNavigate({ from: '/builders/$builder/builds/$number' })
  const status = buildStatus(build)
  const steps = useLive(buildSteps(buildid))
  const properties = useLive(buildProperties(buildid))
  const changes = useLive(buildChanges(buildid))
  const request = useLive(oneRequest(build.buildrequestid))
  const buildset = useLive(oneBuildset(request.data?.buildsetid))
  const [stopping, setStopping] = useState(false)
  const follow = useFollowRequest()
  const stop = useControl(
    'stop the build',
    (reason: string) => call(path`builds/${buildid}`, 'stop', { reason }),
    { done: 'The build is being stopped.' },
  )
  const rebuild = useControl('rebuild', () => call<Started>(path`builds/${buildid}`, 'rebuild'), {
    onSuccess: follow,
  })
  const tab = search.tab ?? 'steps'
  const current = steps.data?.items.findLast((step) => stepStatus(step) === 'running')
  const text = status === 'running' && current ? current.name : stateText(build.state_string, status)
  const propertyCount = properties.data && Object.keys(properties.data).length

  return (
    <Page
      title={`${statusWord(status)} · ${name} #${number}`}
      status={status}
      heading={
        <span className={css.heading}>
          <StatusIcon status={status} size={26} />
          <span>
            <Link to="/builders/$builder" params={{ builder: String(builderid) }} className={css.builder}>
              {name}
            </Link>{' '}
            <span className={css.number}>#{number}</span>
          </span>
        </span>
      }
      lead={
        <span className={css.state}>
          <strong data-status={status} className={css.result}>
            {statusWord(status)}
          </strong>
          {text && <span>{text}</span>}
          <span>
            {build.complete ? 'took ' : 'for '}
            <Duration from={build.started_at} to={build.complete_at} />
            {build.locks_duration_s > 0 &&
              `, of it ${formatDuration(build.locks_duration_s)} waiting for locks`}
          </span>
          <span>
            {formatDate(build.started_at)} (<Ago at={build.started_at} />)
          </span>
        </span>
      }
      actions={
        <>
          <Neighbours build={build} />
          {build.complete ? (
            <Button busy={rebuild.isPending} onClick={() => rebuild.mutate(undefined)}>
              Rebuild
            </Button>
          ) : (
            <Button kind="danger" busy={stop.isPending} onClick={() => setStopping(true)}>
              Stop
            </Button>
          )}
        </>
      }
    >
      {failure}
      {stopping && (
        <ReasonDialog
          title={`Stop ${name} #${number}?`}
          text="The running step is interrupted and the build ends as cancelled."
          confirm="Stop the build"
          danger
          onClose={() => setStopping(false)}
          onConfirm={(reason) => {
            setStopping(false)
            stop.mutate(reason || 'stopped in the web UI')
          }}
        />
      )}
      <Facts
        build={build}
        properties={properties.data}
        stamps={buildset.data?.sourcestamps ?? []}
        buildset={buildset.data}
        status={status}
        changes={changes.data?.items ?? []}
      />
      <Panel>
        <Tabs
          label="Parts of the build"
          value={tab}
          onChange={(next) =>
            void navigate({
              search: (before) => ({ ...before, tab: next === 'steps' ? undefined : next }),
              replace: true,
              resetScroll: false,
            })
          }
          tabs={[
            { id: 'steps', label: 'Steps', count: steps.data?.items.filter((s) => !s.hidden).length },
            { id: 'changes', label: 'Changes', count: changes.data?.items.length },
            { id: 'properties', label: 'Properties', count: propertyCount },
          ]}
        >
          {tab === 'steps' ? (
            <Loaded query={steps} what="the steps">
              {({ items }) => (
                <>
                  {current && current.locks_acquired_at === null && <StepWaits buildid={buildid} />}
                  <Steps build={build} steps={items} unfold={search.step} />
                </>
              )}
            </Loaded>
          ) : tab === 'changes' ? (
            <Loaded query={changes} what="the changes">
              {({ items }) =>
                items.length > 0 ? (
                  <ChangeList changes={items} />
                ) : (
                  <Empty title="No changes belong to this build">
                    It was started by hand or by time, or it built what an earlier build had built already.
                  </Empty>
                )
              }
            </Loaded>
          ) : (
            <Loaded query={properties} what="the properties">
              {(data) => <PropertyTable properties={data} />}
            </Loaded>
          )}
        </Tabs>
      </Panel>
    </Page>
  )
}

/** Which lock the running step waits for. */
function StepWaits({ buildid }: { buildid: number }) {
  const waiting = useLive(whyStepWaits(buildid)).data
  if (waiting === undefined || waiting === null) return null
  return (
    <p style={{ margin: '14px 16px 0' }} role="status">
      The step waits: {waiting.why}. What helps: {waiting.remedy}.
    </p>
  )
}

/** The state without what the word beside it says already. */
function stateText(state: string, status: Status): string {
  const trivial = /^(build successful|finished|success|running|building)$/i
  const word = statusWord(status).toLowerCase()
  if (trivial.test(state) && status !== 'running') return ''
  return state.toLowerCase().startsWith(`${word} `) ? state.slice(word.length + 1) : state
}

/** To the build before and the build after. */
function Neighbours({ build }: { build: Build }) {
  const to = (number: number, label: string, text: string) => (
    <Link
      to="/builders/$builder/builds/$number"
      params={{ builder: String(build.builderid), number: String(number) }}
      className={css.neighbour}
      aria-label={label}
      title={label}
    >
      {text}
    </Link>
  )
  return (
    <span className={css.neighbours}>
      {build.number > 1 && to(build.number - 1, `Previous build, #${build.number - 1}`, '←')}
      {to(build.number + 1, `Next build, #${build.number + 1}`, '→')}
    </span>
  )
}

const BuildLink = ({ id }: { id: number }) => (
  <Link to="/builds/$buildid" params={{ buildid: String(id) }}>
    build {id}
  </Link>
)

function Facts({
  build,
  properties,
  stamps,
  buildset,
  status,
  changes,
}: {
  build: Build
  properties: Properties | undefined
  stamps: readonly SourceStamp[]
  buildset: Buildset | undefined
  status: Status
  changes: readonly Change[]
}) {
  const workers = useWorkers()
  const owners = properties?.owners?.[0]
  const owner =
    textProperty(properties, 'owner') ??
    (Array.isArray(owners) && owners.length > 0 ? owners.map(String).join(', ') : undefined)
  const stamp = stamps[0]
  const newest = changes.toSorted((a, b) => b.changeid - a.changeid)[0]
  const revision = builtRevision(properties) ?? (stamp?.revision || undefined)
  const branch = textProperty(properties, 'branch') ?? stamp?.branch ?? undefined
  const repository = textProperty(properties, 'repository') ?? (stamp?.repository || undefined)
  const facts: [string, ReactNode][] = [
    [
      'Change',
      newest && (
        <>
          <Link to="/changes/$change" params={{ change: String(newest.changeid) }}>
            {firstLine(newest.comments) || '(no message)'}
          </Link>
          {changes.length > 1 && ` and ${formatCount(changes.length - 1)} before it`}
        </>
      ),
    ],
    ['Reason', buildset?.reason || undefined],
    ['Job', buildset?.jobid != null && <JobOfRun id={buildset.jobid} />],
    ['Cause', describeCause(build.cause)],
    ['Branch', branch],
    ['Revision', revision && <code title={revision}>{shortRevision(revision)}</code>],
    [
      'Repository',
      repository && (
        <span className={css.repository} title={repository}>
          {repository}
        </span>
      ),
    ],
    [
      'Worker',
      <Link key="w" to="/workers/$worker" params={{ worker: String(build.workerid) }}>
        {workers.name(build.workerid)}
      </Link>,
    ],
    ['Owner', owner],
    [
      // Why: so it says in `parent_relationship`, e.g. "Triggered from".
      buildset?.parent_relationship || 'Triggered from',
      buildset?.parent_buildid != null && <BuildLink id={buildset.parent_buildid} />,
    ],
    ['Rebuild of', buildset?.rebuilt_buildid != null && <BuildLink id={buildset.rebuilt_buildid} />],
    [
      'Attempts',
      status === 'retry' && (
        <Link to="/buildrequests/$request" params={{ request: String(build.buildrequestid) }}>
          of request {build.buildrequestid}
        </Link>
      ),
    ],
    ['Patch', stamps.some((each) => each.patch !== null) ? 'with a patch (try)' : undefined],
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
      {stamps.length > 1 && (
        <div className={css.wide}>
          <dt>Code bases</dt>
          <dd>
            {stamps.map((each) => (
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
