import { useQuery } from '@tanstack/react-query'
import { Link, Navigate, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { path } from '../api/base'
import { get } from '../api/client'
import type { ApiError } from '../api/errors'
import { useLive } from '../api/live'
import { builderBuilds, builderForceSchedulers, pendingRequests } from '../api/queries'
import type { Builder } from '../api/types'
import { BuildTable } from '../components/BuildTable'
import { Button } from '../components/Button'
import { ForceDialog } from '../components/ForceDialog'
import { Count, Page, Panel } from '../components/Page'
import { Pager } from '../components/Pager'
import { RequestTable } from '../components/RequestTable'
import { Empty, Failure, Loaded, Loading } from '../components/States'
import { Trend } from '../components/Trend'
import { buttonText } from '../lib/force'
import { counted, formatCount } from '../lib/format'
import { useBuilders, useWorkers } from '../lib/names'
import { buildStatus } from '../lib/results'
import css from './Builder.module.css'

const PAGE_SIZE = 50

/** The builder of the address: by number, or by name (which is sent on to the number). */
export function BuilderPage() {
  const { builder: text } = useParams({ from: '/builders/$builder' })
  const search = useSearch({ from: '/builders/$builder' })
  const { byId } = useBuilders()
  const known = /^\d+$/.test(text) ? byId?.get(Number(text)) : undefined
  const one = useQuery<Builder, ApiError>({
    queryKey: ['builders', 'one', text],
    queryFn: ({ signal }) => get('builders', path`builders/${text}`, {}, signal),
    enabled: known === undefined,
  })
  const builder = known ?? one.data
  if (builder === undefined) {
    return (
      <Page title={`Builder ${text}`}>
        {one.error ? (
          <Failure what={`builder ${text}`} error={one.error} retry={one.refetch} />
        ) : (
          <Loading what="the builder" />
        )}
      </Page>
    )
  }
  if (String(builder.builderid) !== text)
    return (
      <Navigate
        to="/builders/$builder"
        params={{ builder: String(builder.builderid) }}
        search={search}
        replace
      />
    )
  return <BuilderView key={builder.builderid} builder={builder} />
}

function BuilderView({ builder }: { builder: Builder }) {
  const { builderid, name } = builder
  const search = useSearch({ from: '/builders/$builder' })
  const navigate = useNavigate({ from: '/builders/$builder' })
  const page = (search.page ?? 1) - 1
  const builds = useLive(builderBuilds(builderid, page, PAGE_SIZE))
  const pending = useLive(pendingRequests(builderid))
  const forces = useLive(builderForceSchedulers(builderid))
  const workers = useWorkers()
  const waiting = pending.data?.items ?? []
  const own = workers.query.data?.items.filter((w) => w.configured_on.some((c) => c.builderid === builderid))
  const connected = own?.filter((w) => w.connected_to.length > 0).length ?? 0
  const last = page === 0 ? builds.data?.items[0] : undefined
  const usable = forces.data?.items.filter((f) => f.enabled) ?? []
  const open = usable.find((f) => f.name === search.force)
  const setForce = (force: string | undefined) =>
    void navigate({ search: (before) => ({ ...before, force }), replace: true, resetScroll: false })

  return (
    <Page
      title={name}
      {...(last ? { status: buildStatus(last) } : {})}
      lead={
        <>
          {builder.description && <p>{builder.description}</p>}
          <p className={css.facts}>
            {builder.tags.map((tag) => (
              <Link key={tag} to="/builders" search={{ tags: [tag] }} className={css.tag}>
                {tag}
              </Link>
            ))}
            {own && (
              <span>
                {own.length === 0
                  ? 'no worker'
                  : `${formatCount(connected)} of ${counted(own.length, 'worker')} connected`}
              </span>
            )}
            {builder.masterids.length === 0 && <span>no longer in the configuration</span>}
          </p>
        </>
      }
      actions={usable.map((force) => (
        <Button key={force.name} kind="primary" onClick={() => setForce(force.name)}>
          {buttonText(force)}
        </Button>
      ))}
    >
      {forces.error && (
        <Failure what="the ways to force a build" error={forces.error} retry={forces.refetch} />
      )}
      {open && (
        <ForceDialog
          scheduler={open}
          builderid={builderid}
          builderName={name}
          onClose={() => setForce(undefined)}
        />
      )}
      {own && own.length > 0 && connected === 0 && waiting.length > 0 && (
        <p className={css.stuck} role="status">
          Nothing is built now because none of this builder's workers is connected. See{' '}
          <Link to="/workers">workers</Link>.
        </p>
      )}
      {waiting.length > 0 && (
        <Panel
          title={
            <>
              Pending <Count>{formatCount(pending.data?.total ?? 0)}</Count>
            </>
          }
        >
          <RequestTable requests={waiting.slice(0, 20)} />
        </Panel>
      )}
      <Panel title="Builds">
        <Loaded query={builds} what={`the builds of ${name}`}>
          {({ items, total }) =>
            items.length > 0 ? (
              <>
                {page === 0 && <Trend builds={items} />}
                <BuildTable builds={items} caption={`Builds of ${name}, newest first`} showBuilder={false} />
                <Pager page={page} size={PAGE_SIZE} shown={items.length} total={total} />
              </>
            ) : page > 0 ? (
              <Empty title="There are no older builds">
                <Link to="." search={{}}>
                  To the newest
                </Link>
              </Empty>
            ) : (
              <Empty title="This builder has not built anything yet">
                {usable.length > 0
                  ? 'Force a build with the button above, or wait for a change that a scheduler sends here.'
                  : 'A scheduler starts a build when a change arrives. To start builds by hand, give the builder a force scheduler in the configuration.'}
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}
