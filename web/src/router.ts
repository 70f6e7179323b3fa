/**
 * Routes. The addresses are those of Buildbot's UI, because people have them in bookmarks, chats and
 * mails: `#/builders/3`, `#/builders/3/builds/7`, `#/builders/3/builds/7/steps/2/logs/stdio`,
 * `#/buildrequests/9`, `#/pendingbuildrequests` …
 */

import { createHashHistory, createRootRoute, createRoute, createRouter } from '@tanstack/react-router'
import { parseSearch, stringifySearch, textList, wholeNumber } from './lib/search'
import { About } from './pages/About'
import { BuildPage } from './pages/Build'
import { BuilderPage } from './pages/Builder'
import { Builders } from './pages/Builders'
import { ChangePage } from './pages/Change'
import { Changes } from './pages/Changes'
import { Home } from './pages/Home'
import { LogPage } from './pages/Log'
import { Login } from './pages/Login'
import { BuildById, NotFound, RouteFailure } from './pages/Other'
import { Pending } from './pages/Pending'
import { PipelinePage } from './pages/Pipeline'
import { Pipelines } from './pages/Pipelines'
import { RequestPage } from './pages/Request'
import { RunPage } from './pages/Run'
import { Schedulers } from './pages/Schedulers'
import { WorkerPage } from './pages/Worker'
import { Workers } from './pages/Workers'
import { Shell } from './shell/Shell'

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: RouteFailure })
const getParentRoute = () => root

type Search = Record<string, unknown>
const paged = (search: Search): { page?: number } => ({ page: wholeNumber(search.page, 2) })
const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined

const home = createRoute({ getParentRoute, path: '/', component: Home })
const builders = createRoute({
  getParentRoute,
  path: '/builders',
  component: Builders,
  validateSearch: (search: Search): { q?: string; tags?: string[]; old?: string } => ({
    q: text(search.q),
    // Buildbot's UI writes `+tag` for tags that must be there.
    tags: textList(search.tags)?.map((tag) => tag.replace(/^\+/, '')),
    old: text(search.old),
  }),
})
const builder = createRoute({
  getParentRoute,
  path: '/builders/$builder',
  component: BuilderPage,
  validateSearch: (search: Search): { page?: number; force?: string } => ({
    ...paged(search),
    force: text(search.force),
  }),
})
const build = createRoute({
  getParentRoute,
  path: '/builders/$builder/builds/$number',
  component: BuildPage,
  validateSearch: (search: Search): { tab?: 'properties' | 'changes'; step?: number } => ({
    tab: search.tab === 'properties' || search.tab === 'changes' ? search.tab : undefined,
    step: wholeNumber(search.step, 0),
  }),
})
const log = createRoute({
  getParentRoute,
  path: '/builders/$builder/builds/$number/steps/$step/logs/$slug',
  component: LogPage,
  // `L=120` or `L=120-140`, numbered from 1 as people count.
  validateSearch: (search: Search): { L?: string } => ({ L: text(search.L) }),
})
const buildById = createRoute({ getParentRoute, path: '/builds/$buildid', component: BuildById })
const request = createRoute({ getParentRoute, path: '/buildrequests/$request', component: RequestPage })
const pending = createRoute({ getParentRoute, path: '/pendingbuildrequests', component: Pending })
const pipelines = createRoute({ getParentRoute, path: '/pipelines', component: Pipelines })
const pipeline = createRoute({
  getParentRoute,
  path: '/pipelines/$pipeline',
  component: PipelinePage,
  validateSearch: paged,
})
const run = createRoute({ getParentRoute, path: '/runs/$run', component: RunPage, validateSearch: paged })
const workers = createRoute({ getParentRoute, path: '/workers', component: Workers })
const worker = createRoute({ getParentRoute, path: '/workers/$worker', component: WorkerPage })
const changes = createRoute({ getParentRoute, path: '/changes', component: Changes, validateSearch: paged })
const change = createRoute({ getParentRoute, path: '/changes/$change', component: ChangePage })
const schedulers = createRoute({ getParentRoute, path: '/schedulers', component: Schedulers })
const about = createRoute({ getParentRoute, path: '/about', component: About })
const login = createRoute({ getParentRoute, path: '/login', component: Login })

const routeTree = root.addChildren([
  home,
  builders,
  builder,
  build,
  log,
  buildById,
  request,
  pending,
  pipelines,
  pipeline,
  run,
  workers,
  worker,
  changes,
  change,
  schedulers,
  about,
  login,
])

export const makeRouter = () =>
  createRouter({
    routeTree,
    history: createHashHistory(),
    parseSearch,
    stringifySearch,
    scrollRestoration: true,
    trailingSlash: 'never',
  })

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>
  }
}
