import { Link, Outlet, useLocation } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import { useLive } from '../api/live'
import { pendingRequests, runningBuilds } from '../api/queries'
import { useSession, useSite } from '../auth/session'
import { Button } from '../components/Button'
import { formatCount } from '../lib/format'
import { ConnectionBar } from './ConnectionBar'
import { Mark } from './Mark'
import css from './Shell.module.css'
import { ThemeToggle } from './ThemeToggle'

const Badge = ({ count, what }: { count: number | undefined; what: string }) =>
  count ? (
    <span className={css.badge} title={`${formatCount(count)} ${what}`}>
      {formatCount(count)}
      <span className="visually-hidden"> {what}</span>
    </span>
  ) : null

/** What surrounds every page. */
export function Shell() {
  const site = useSite()
  const session = useSession()
  const running = useLive(runningBuilds()).data?.total
  const pending = useLive(pendingRequests()).data?.total
  const main = useRef<HTMLElement>(null)
  const { pathname } = useLocation()
  const before = useRef(pathname)
  useEffect(() => {
    // After following a link, reading goes on at the new page's start.
    if (before.current === pathname) return
    before.current = pathname
    main.current?.focus({ preventScroll: true })
  }, [pathname])
  const nav = useRef<HTMLElement>(null)
  // biome-ignore lint/correctness/useExhaustiveDependencies: on a narrow screen another part of it is looked at
  useEffect(() => {
    const here = nav.current?.querySelector<HTMLElement>('[aria-current="page"]')
    if (nav.current && here) nav.current.scrollLeft = here.offsetLeft - nav.current.offsetLeft - 60
  }, [pathname])

  const link = { className: css.link ?? '', activeProps: { className: css.active ?? '' } }
  // A run's page belongs to the pipelines.
  const here = { className: `${css.link ?? ''} ${css.active ?? ''}`, 'aria-current': 'page' } as const
  return (
    <>
      {/* A link to `#main` would change the route, which lives in the hash. */}
      <button type="button" className={css.skip} onClick={() => main.current?.focus()}>
        Skip to content
      </button>
      <header className={css.bar}>
        <Link to="/" className={css.brand}>
          <Mark />
          <span>{site.title}</span>
        </Link>
        <nav ref={nav} aria-label="Main" className={css.nav}>
          <Link to="/" {...link} activeOptions={{ exact: true }}>
            Overview <Badge count={running} what="running" />
          </Link>
          <Link to="/builders" {...link}>
            Builders
          </Link>
          <Link to="/pipelines" {...link} {...(pathname.startsWith('/runs/') ? here : {})}>
            Pipelines
          </Link>
          <Link to="/pendingbuildrequests" {...link}>
            Pending <Badge count={pending} what="waiting" />
          </Link>
          <Link to="/workers" {...link}>
            Workers
          </Link>
          <Link to="/changes" {...link}>
            Changes
          </Link>
          <Link to="/schedulers" {...link}>
            Schedulers
          </Link>
          <Link to="/about" {...link}>
            About
          </Link>
        </nav>
        <div className={css.tools}>
          <ThemeToggle />
          {session.name === undefined ? (
            <Button small onClick={() => void session.login()}>
              Log in
            </Button>
          ) : (
            <>
              <span className={css.user} title="Logged in">
                {session.name}
              </span>
              <Button small onClick={() => void session.logout()}>
                Log out
              </Button>
            </>
          )}
        </div>
      </header>
      <ConnectionBar />
      {site.on_load_warning && <p className={css.warning}>{site.on_load_warning}</p>}
      <main id="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
    </>
  )
}
