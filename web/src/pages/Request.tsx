import { Link, Navigate, useParams } from '@tanstack/react-router'
import { path } from '../api/base'
import { call } from '../api/client'
import { useLive } from '../api/live'
import { oneBuildset, oneRequest, requestBuilds, whyWaiting } from '../api/queries'
import type { BuildRequest } from '../api/types'
import { useControl } from '../auth/session'
import { BuildTable } from '../components/BuildTable'
import { Button } from '../components/Button'
import { JobOfRun } from '../components/JobLink'
import { Page, Panel } from '../components/Page'
import { Loaded } from '../components/States'
import { StatusText } from '../components/Status'
import { Ago } from '../components/Time'
import { describeCause } from '../lib/cause'
import { useBuilders } from '../lib/names'
import { requestStatus, statusWord } from '../lib/results'
import css from './Build.module.css'

/** A request until its build starts; then its build. */
export function RequestPage() {
  const { request } = useParams({ from: '/buildrequests/$request' })
  const id = Number(request)
  const query = useLive(oneRequest(id))
  const builds = useLive(requestBuilds(id))
  const only = builds.data?.items.length === 1 ? builds.data.items[0] : undefined
  // With several attempts the reader chooses; with one there is nothing else to see here.
  if (only !== undefined)
    return (
      <Navigate
        to="/builders/$builder/builds/$number"
        params={{ builder: String(only.builderid), number: String(only.number) }}
        replace
      />
    )
  return (
    <Page
      title={
        query.data ? `${statusWord(requestStatus(query.data))} · request ${request}` : `Request ${request}`
      }
      heading={`Request ${request}`}
      {...(query.data ? { status: requestStatus(query.data) } : {})}
    >
      <Loaded query={query} what={`request ${request}`}>
        {(data) => <RequestFacts request={data} />}
      </Loaded>
      {builds.data && builds.data.items.length > 1 && (
        <Panel title="Attempts">
          <BuildTable builds={builds.data.items} caption="Attempts at this request" />
        </Panel>
      )}
    </Page>
  )
}

function RequestFacts({ request }: { request: BuildRequest }) {
  const builders = useBuilders()
  const buildset = useLive(oneBuildset(request.buildsetid))
  const status = requestStatus(request)
  const cancel = useControl(
    'cancel the request',
    () =>
      call(path`buildrequests/${request.buildrequestid}`, 'cancel', { reason: 'cancelled in the web UI' }),
    { done: 'The request is cancelled.' },
  )
  return (
    <Panel
      title={<StatusText status={status} />}
      aside={
        !request.complete &&
        !request.claimed && (
          <Button small busy={cancel.isPending} onClick={() => cancel.mutate(undefined)}>
            Cancel
          </Button>
        )
      }
      flush={false}
    >
      <dl className={css.facts}>
        <div>
          <dt>Builder</dt>
          <dd>
            <Link to="/builders/$builder" params={{ builder: String(request.builderid) }}>
              {builders.name(request.builderid)}
            </Link>
          </dd>
        </div>
        <div>
          <dt>Submitted</dt>
          <dd>
            <Ago at={request.submitted_at} />
          </dd>
        </div>
        <div>
          <dt>Priority</dt>
          <dd>{request.priority}</dd>
        </div>
        {buildset.data && (
          <div>
            <dt>Reason</dt>
            <dd>{buildset.data.reason}</dd>
          </div>
        )}
        {buildset.data?.jobid != null && (
          <div>
            <dt>Job</dt>
            <dd>
              <JobOfRun id={buildset.data.jobid} />
            </dd>
          </div>
        )}
      </dl>
      {request.cause && <p style={{ marginTop: 14 }}>Why: {describeCause(request.cause)}.</p>}
      {status === 'pending' && <Why request={request} />}
    </Panel>
  )
}

/** Why it waits. */
function Why({ request }: { request: BuildRequest }) {
  const waiting = useLive(whyWaiting(request.buildrequestid)).data
  if (waiting === undefined || waiting === null) return null
  // A function of the configuration that failed says where, in lines of their own.
  const [why, ...traceback] = waiting.why.split('\n')
  return (
    <div role="status">
      <p style={{ marginTop: 14 }}>
        It waits: {why}. What helps: {waiting.remedy}. This page goes on to the build when it starts.
      </p>
      {traceback.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what is wider than the page is scrolled with the keys
        <pre tabIndex={0} style={{ overflowX: 'auto' }}>
          {traceback.join('\n')}
        </pre>
      )}
    </div>
  )
}
