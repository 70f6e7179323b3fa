import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useWindowVirtualizer } from '@tanstack/react-virtual'
import { memo, useCallback, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { useLive } from '../api/live'
import { LATEST_BUILDS, latestBuilds, pendingCounts } from '../api/queries'
import type { Build, Builder } from '../api/types'
import { Button } from '../components/Button'
import { Count, Page, Panel } from '../components/Page'
import { Squares } from '../components/Squares'
import { Empty, Failure, Loaded } from '../components/States'
import { StatusText } from '../components/Status'
import { Ago } from '../components/Time'
import { formatCount } from '../lib/format'
import { useBuilders } from '../lib/names'
import { buildStatus } from '../lib/results'
import { activityByBuilder, type BuilderActivity, NO_ACTIVITY } from '../lib/squares'
import css from './Builders.module.css'
import { useQuietBuilds } from './useQuietBuilds'

const SQUARES = 10
const ROW_HEIGHT = 44

/** Three requests, however many builders there are: builders, newest builds, pending requests. */
export function Builders() {
  const { query } = useBuilders()
  const builds = useLive(latestBuilds())
  const pending = useLive(pendingCounts())
  const search = useSearch({ from: '/builders' })
  const navigate = useNavigate({ from: '/builders' })
  const tags = search.tags ?? []
  const activity = useMemo(
    () => activityByBuilder(builds.data?.items ?? [], pending.data?.items ?? [], SQUARES),
    [builds.data, pending.data],
  )

  const setSearch = (change: { q?: string; tags?: string[]; old?: string }) =>
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true, resetScroll: false })
  const toggleTag = useCallback(
    (tag: string) =>
      void navigate({
        search: (before) => {
          const chosen = before.tags ?? []
          return {
            ...before,
            tags: chosen.includes(tag) ? chosen.filter((each) => each !== tag) : [...chosen, tag],
          }
        },
        replace: true,
        resetScroll: false,
      }),
    [navigate],
  )

  return (
    <Page title="Builders" heading="Builders">
      {builds.error && <Failure what="the last builds" error={builds.error} retry={builds.refetch} />}
      <Loaded query={query} what="the builders">
        {({ items }) => {
          const old = items.filter((b) => b.masterids.length === 0).length
          const shown = items.filter(
            (b) =>
              (search.old !== undefined || b.masterids.length > 0) &&
              tags.every((tag) => b.tags.includes(tag)) &&
              matches(b, search.q),
          )
          return (
            <>
              <div className={css.filters}>
                <search>
                  <input
                    type="search"
                    className={css.filter}
                    aria-label="Filter builders by name, tag or description"
                    placeholder="Filter by name, tag or description"
                    value={search.q ?? ''}
                    onChange={(event) => setSearch({ q: event.target.value })}
                  />
                </search>
                <TagFilter builders={items} chosen={tags} toggle={toggleTag} />
                {old > 0 && (
                  <Button
                    small
                    kind="quiet"
                    aria-pressed={search.old !== undefined}
                    onClick={() => setSearch({ old: search.old === undefined ? '1' : '' })}
                    title="Builders that are no longer in the configuration"
                  >
                    Removed ones ({formatCount(old)})
                  </Button>
                )}
              </div>
              <Panel
                title={
                  <>
                    {search.q || tags.length > 0 ? 'Matching builders' : 'All builders'}{' '}
                    <Count>{formatCount(shown.length)}</Count>
                  </>
                }
              >
                {items.length === 0 ? (
                  <Empty title="No builder is configured yet">
                    Add a builder to the master's configuration and reload it; it appears here at once.
                  </Empty>
                ) : shown.length === 0 ? (
                  <Empty title="No builder matches">
                    <Button onClick={() => void navigate({ search: {}, replace: true })}>
                      Clear the filters
                    </Button>
                  </Empty>
                ) : (
                  <Rows
                    builders={shown}
                    activity={activity}
                    loading={builds.data === undefined}
                    cut={(builds.data?.items.length ?? 0) >= LATEST_BUILDS}
                    toggle={toggleTag}
                  />
                )}
              </Panel>
            </>
          )
        }}
      </Loaded>
    </Page>
  )
}

function matches(builder: Builder, text: string | undefined): boolean {
  if (text === undefined) return true
  const whole = `${builder.name}\n${builder.tags.join('\n')}\n${builder.description ?? ''}`.toLowerCase()
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => whole.includes(word))
}

/** The most used tags, and those that are chosen. */
function TagFilter({
  builders,
  chosen,
  toggle,
}: {
  builders: readonly Builder[]
  chosen: readonly string[]
  toggle: (tag: string) => void
}) {
  const most = 12
  const tags = useMemo(() => {
    const counts = new Map<string, number>()
    for (const builder of builders)
      for (const tag of builder.tags) counts.set(tag, (counts.get(tag) ?? 0) + 1)
    return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([tag]) => tag)
  }, [builders])
  const shown = [...new Set([...chosen, ...tags.slice(0, most)])]
  if (shown.length === 0) return null
  return (
    <fieldset className={css.tags}>
      <legend className="visually-hidden">Tags</legend>
      {shown.map((tag) => (
        <button
          key={tag}
          type="button"
          className={css.tag}
          aria-pressed={chosen.includes(tag)}
          onClick={() => toggle(tag)}
        >
          {tag}
        </button>
      ))}
    </fieldset>
  )
}

/** Only the rows on screen are in the page; two empty rows stand for those above and below. */
function Rows({
  builders,
  activity,
  loading,
  cut,
  toggle,
}: {
  builders: readonly Builder[]
  activity: ReadonlyMap<number, BuilderActivity>
  loading: boolean
  /** There are more builds than were looked at. */
  cut: boolean
  toggle: (tag: string) => void
}) {
  const body = useRef<HTMLTableSectionElement>(null)
  const [margin, setMargin] = useState(0)
  useLayoutEffect(() => {
    const top = body.current?.getBoundingClientRect().top ?? 0
    setMargin(top + window.scrollY)
  }, [])
  const rows = useWindowVirtualizer({
    count: builders.length,
    estimateSize: () => ROW_HEIGHT,
    overscan: 12,
    scrollMargin: margin,
    getItemKey: (index) => builders[index]?.builderid ?? index,
  })
  const items = rows.getVirtualItems()
  const visible = items.flatMap((row) => builders[row.index]?.builderid ?? [])
  const quiet = useQuietBuilds(
    cut ? visible.filter((id) => (activity.get(id)?.latest.length ?? 0) === 0) : [],
    SQUARES,
  )
  const above = (items[0]?.start ?? margin) - margin
  const below = rows.getTotalSize() - ((items.at(-1)?.end ?? margin) - margin)
  return (
    <table className={css.table} aria-rowcount={builders.length + 1}>
      <caption className="visually-hidden">Builders</caption>
      <thead>
        <tr aria-rowindex={1}>
          <th>Builder</th>
          <th className={css.now}>State</th>
          <th className={css.squares}>Last builds</th>
          <th className={css.ago}>Last started</th>
        </tr>
      </thead>
      <tbody ref={body}>
        {above > 0 && <tr style={{ height: above }} />}
        {items.map((row) => {
          const builder = builders[row.index]
          if (builder === undefined) return null
          return (
            <tr key={row.key} aria-rowindex={row.index + 2} className={css.row}>
              <Cells
                builder={builder}
                activity={activity.get(builder.builderid) ?? NO_ACTIVITY}
                quiet={quiet.get(builder.builderid)}
                loading={loading || (cut && !quiet.has(builder.builderid))}
                toggle={toggle}
              />
            </tr>
          )
        })}
        {below > 0 && <tr style={{ height: below }} />}
      </tbody>
    </table>
  )
}

/** The cells of one row; memoised, so that scrolling renders only rows that come in. */
const Cells = memo(function Cells({
  builder,
  activity,
  quiet,
  loading,
  toggle,
}: {
  builder: Builder
  activity: BuilderActivity
  /** Builds found later, for a builder that has none among the newest of all. */
  quiet: readonly Build[] | undefined
  loading: boolean
  toggle: (tag: string) => void
}) {
  const latest = activity.latest.length > 0 ? activity.latest : (quiet ?? activity.latest)
  const last = latest[0]
  return (
    <>
      <td>
        <div className={css.builder}>
          <Link to="/builders/$builder" params={{ builder: String(builder.builderid) }} className={css.name}>
            {builder.name}
          </Link>
          {builder.masterids.length === 0 && <span className={css.removed}>removed</span>}
          {builder.tags.map((tag) => (
            <button key={tag} type="button" className={css.smallTag} onClick={() => toggle(tag)}>
              {tag}
            </button>
          ))}
        </div>
      </td>
      <td className={css.now}>
        {activity.running > 0 ? (
          <StatusText
            status="running"
            text={activity.running > 1 ? `${activity.running} running` : 'Running'}
          />
        ) : (
          last && <StatusText status={buildStatus(last)} />
        )}
        {activity.pending > 0 && <span className={css.pending}>{formatCount(activity.pending)} pending</span>}
      </td>
      <td className={css.squares}>
        {last === undefined ? (
          <span className={css.none}>{loading ? '' : 'no builds yet'}</span>
        ) : (
          <Squares builds={latest} name={builder.name} />
        )}
      </td>
      <td className={css.ago}>{last && <Ago at={last.started_at} />}</td>
    </>
  )
})
