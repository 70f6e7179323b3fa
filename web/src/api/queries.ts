/**
 * What the pages read: one function per resource that says how it is fetched, which events concern it
 * and how they change it. Pages use them through `useLive`.
 */

import { path } from './base'
import { embeddedConfig, get, list, type Page, siteConfig } from './client'
import type { LiveQuery } from './live'
import {
  type ListRules,
  mergeBuild,
  mergeJob,
  mergeLog,
  mergeRequest,
  mergeRun,
  mergeStep,
  upsert,
} from './merge'
import type {
  Build,
  Builder,
  BuildRequest,
  Buildset,
  Change,
  ForceScheduler,
  Job,
  Log,
  Pipeline,
  PlannedJob,
  Project,
  Properties,
  Run,
  Scheduler,
  Step,
  Waiting,
  Worker,
} from './types'

const byNumber =
  <T>(value: (item: T) => number) =>
  (a: T, b: T) =>
    value(a) - value(b)
const descending =
  <T>(value: (item: T) => number) =>
  (a: T, b: T) =>
    value(b) - value(a)

const isNew = (name: string): boolean => name === 'new'
const put =
  <T>(rules: ListRules<T>) =>
  (page: Page<T>, event: { item: unknown; name: string }): Page<T> =>
    upsert(page, event.item as T, event.name, rules)

export const configQuery = {
  queryKey: ['config'],
  queryFn: ({ signal }: { signal: AbortSignal }) => siteConfig(signal),
  // The server may have put it into the page, which saves a request and a flicker.
  initialData: () => embeddedConfig(),
  staleTime: 5 * 60_000,
} as const

/** Configurations that came into force, the newest first. */
export const configurationsQuery = {
  queryKey: ['configurations'],
  queryFn: ({ signal }: { signal: AbortSignal }) =>
    list('configurations', 'configurations', { order: '-loaded_at', limit: 20 }, signal),
  staleTime: 0,
} as const

/** All builders; small items, asked for once and shared by every page that shows a builder's name. */
export const allBuilders = (): LiveQuery<Page<Builder>> => ({
  key: ['builders'],
  topics: ['builders/*/*'],
  fetch: (signal) =>
    list(
      'builders',
      'builders',
      { field: ['builderid', 'name', 'tags', 'masterids', 'description', 'projectid'], order: 'name' },
      signal,
    ),
  // `started` and `stopped` carry only a part of the item.
  apply: (page, event) =>
    event.name === 'update'
      ? upsert(page, event.item as Builder, event.name, {
          id: (b) => b.builderid,
          compare: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
        })
      : page,
  staleTime: 60_000,
})

export const allWorkers = (): LiveQuery<Page<Worker>> => ({
  key: ['workers'],
  topics: ['workers/*/*'],
  fetch: (signal) => list('workers', 'workers', { order: 'name' }, signal),
  apply: put({
    id: (w) => w.workerid,
    merge: (old, next) => ({ ...old, ...next }),
    compare: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  }),
})

/** What a square or a row needs of a build; the rest of an item is left out of long lists. */
export const BUILD_FIELDS = [
  'buildid',
  'number',
  'builderid',
  'buildrequestid',
  'workerid',
  'started_at',
  'complete',
  'complete_at',
  'results',
  'state_string',
]
const BUILD_PROPERTIES = ['branch', 'revision', 'got_revision', 'owner', 'reason', 'project']

/** Builds that run now, newest first. */
export const runningBuilds = (): LiveQuery<Page<Build>> => ({
  key: ['builds', 'running'],
  topics: ['builds/*/*'],
  fetch: (signal) =>
    list(
      'builds',
      'builds',
      { complete: false, order: '-buildid', limit: 500, property: BUILD_PROPERTIES },
      signal,
    ),
  apply: put({
    id: (b) => b.buildid,
    merge: mergeBuild,
    keep: (b) => !b.complete,
    compare: descending((b) => b.buildid),
    limit: 500,
  }),
  // A new build's event comes without the properties.
  refetchOn: (event) => isNew(event.name),
})

/** The builds that ended last. */
export const finishedBuilds = (limit: number): LiveQuery<Page<Build>> => {
  const compare = descending<Build>((b) => b.complete_at ?? 0)
  return {
    key: ['builds', 'finished', limit],
    topics: ['builds/*/finished'],
    fetch: async (signal) => {
      const page = await list(
        'builds',
        'builds',
        { complete: true, order: '-buildid', limit, property: BUILD_PROPERTIES },
        signal,
      )
      return { ...page, items: page.items.toSorted(compare) }
    },
    apply: put({ id: (b) => b.buildid, merge: mergeBuild, keep: (b) => b.complete, compare, limit }),
    refetchOn: () => true,
  }
}

/** How many of the newest builds the page of all builders looks at, over all builders. */
export const LATEST_BUILDS = 4000

/** The newest builds of all builders in one request, with only what squares need. */
export const latestBuilds = (): LiveQuery<Page<Build>> => ({
  key: ['builds', 'latest'],
  topics: ['builds/*/*'],
  fetch: (signal) =>
    list('builds', 'builds', { order: '-buildid', limit: LATEST_BUILDS, field: BUILD_FIELDS }, signal),
  apply: put({
    id: (b) => b.buildid,
    merge: mergeBuild,
    compare: descending((b) => b.buildid),
    limit: LATEST_BUILDS,
    counts: isNew,
  }),
})

/** Pending requests are shown up to this number; the total is always the true one. */
export const PENDING_LIMIT = 500

/** What a request waits for, in the engine's own words; none once it does not wait. */
export const whyWaiting = (id: number): LiveQuery<Waiting | null> => ({
  key: ['buildrequests', id, 'waiting'],
  // Whatever frees or takes a place or a lock says so in one of these.
  topics: ['workers/*/*', 'buildrequests/*/*', 'builds/*/*'],
  fetch: async (signal) =>
    (await list('waiting', path`buildrequests/${id}/waiting`, {}, signal)).items[0] ?? null,
  apply: (waiting) => waiting,
  refetchOn: () => true,
})

/** Which lock the running step of a build waits for, likewise. */
export const whyStepWaits = (buildid: number): LiveQuery<Waiting | null> => ({
  key: ['builds', buildid, 'waiting'],
  topics: ['builds/*/*'],
  fetch: async (signal) =>
    (await list('waiting', path`builds/${buildid}/waiting`, {}, signal)).items[0] ?? null,
  apply: (waiting) => waiting,
  refetchOn: () => true,
})

/** Requests that nothing builds yet, in the order in which they will be taken; of all builders or of one. */
export const pendingRequests = (builderid?: number): LiveQuery<Page<BuildRequest>> => ({
  key: ['buildrequests', 'pending', builderid ?? 'all'],
  topics: [builderid === undefined ? 'buildrequests/*/*' : `builders/${builderid}/buildrequests/*/*`],
  fetch: (signal) =>
    list(
      'buildrequests',
      builderid === undefined ? 'buildrequests' : path`builders/${builderid}/buildrequests`,
      {
        complete: false,
        claimed: false,
        order: ['-priority', 'submitted_at'],
        limit: PENDING_LIMIT,
        property: ['reason', 'owner', 'branch', 'revision', 'scheduler'],
      },
      signal,
    ),
  apply: (page, event) =>
    event.item === null
      ? page
      : upsert(page, event.item as BuildRequest, event.name, {
          id: (r) => r.buildrequestid,
          merge: mergeRequest,
          keep: (r) => !r.claimed && !r.complete,
          compare: (a, b) =>
            b.priority - a.priority || a.submitted_at - b.submitted_at || a.buildrequestid - b.buildrequestid,
          limit: PENDING_LIMIT,
        }),
  // New ones come without properties; and of those beyond the limit, events do not tell whether they were counted.
  refetchOn: (event, page) => isNew(event.name) || (page !== undefined && page.total > page.items.length),
})

/** For counting by builder: of each pending request only the builder. */
export const pendingCounts = (): LiveQuery<Page<BuildRequest>> => ({
  key: ['buildrequests', 'counts'],
  topics: ['buildrequests/*/*'],
  fetch: (signal) =>
    list(
      'buildrequests',
      'buildrequests',
      {
        complete: false,
        claimed: false,
        field: ['buildrequestid', 'builderid', 'claimed', 'complete'],
        limit: 20_000,
      },
      signal,
    ),
  apply: (page, event) =>
    event.item === null
      ? page
      : upsert(page, event.item as BuildRequest, event.name, {
          id: (r) => r.buildrequestid,
          merge: mergeRequest,
          keep: (r) => !r.claimed && !r.complete,
        }),
})

/** One page of a builder's builds, newest first. */
export const builderBuilds = (builderid: number, page: number, size: number): LiveQuery<Page<Build>> => ({
  key: ['builders', builderid, 'builds', page, size],
  topics: [`builders/${builderid}/builds/*/*`],
  fetch: (signal) =>
    list(
      'builds',
      path`builders/${builderid}/builds`,
      { order: '-number', limit: size, offset: page * size, property: BUILD_PROPERTIES },
      signal,
    ),
  apply: put({
    id: (b) => b.buildid,
    merge: mergeBuild,
    compare: descending((b) => b.number),
    limit: size,
    insert: page === 0,
    counts: isNew,
  }),
  refetchOn: (event) => isNew(event.name) || event.name === 'finished',
})

/** The builds of one worker, newest first. */
export const workerBuilds = (workerid: number, limit: number): LiveQuery<Page<Build>> => ({
  key: ['workers', workerid, 'builds', limit],
  topics: [`workers/${workerid}/builds/*/*`],
  fetch: (signal) =>
    list(
      'builds',
      path`workers/${workerid}/builds`,
      { order: '-buildid', limit, property: BUILD_PROPERTIES },
      signal,
    ),
  apply: put({
    id: (b) => b.buildid,
    merge: mergeBuild,
    compare: descending((b) => b.buildid),
    limit,
    counts: isNew,
  }),
})

/** One build by its builder and number. */
export const oneBuild = (builderid: number, number: number): LiveQuery<Build> => ({
  key: ['builders', builderid, 'build', number],
  topics: [`builders/${builderid}/builds/${number}/*`],
  fetch: (signal) => get('builds', path`builders/${builderid}/builds/${number}`, {}, signal),
  apply: (build, event) => mergeBuild(build, event.item as Build),
})

export const buildSteps = (buildid: number | undefined): LiveQuery<Page<Step>> => ({
  key: ['builds', buildid, 'steps'],
  topics: [`builds/${buildid}/steps/*/*`],
  fetch: (signal) => list('steps', path`builds/${buildid ?? 0}/steps`, {}, signal),
  apply: put({ id: (s) => s.stepid, merge: mergeStep, compare: byNumber((s) => s.number) }),
  enabled: buildid !== undefined,
})

export const buildProperties = (buildid: number | undefined): LiveQuery<Properties> => ({
  key: ['builds', buildid, 'properties'],
  topics: [`builds/${buildid}/properties/*`],
  fetch: (signal) => get('properties', path`builds/${buildid ?? 0}/properties`, {}, signal),
  apply: (properties, event) => ({ ...properties, ...(event.item as Properties) }),
  enabled: buildid !== undefined,
})

export const buildChanges = (buildid: number | undefined): LiveQuery<Page<Change>> => ({
  key: ['builds', buildid, 'changes'],
  topics: [],
  fetch: async (signal) => {
    const page = await list('changes', path`builds/${buildid ?? 0}/changes`, {}, signal)
    return { ...page, items: page.items.toSorted(descending((c) => c.changeid)) }
  },
  apply: (page) => page,
  enabled: buildid !== undefined,
})

export const stepLogs = (stepid: number | undefined): LiveQuery<Page<Log>> => ({
  key: ['steps', stepid, 'logs'],
  topics: [`steps/${stepid}/logs/*/*`],
  fetch: (signal) => list('logs', path`steps/${stepid ?? 0}/logs`, {}, signal),
  apply: put({ id: (l) => l.logid, merge: mergeLog, compare: byNumber((l) => l.logid) }),
  enabled: stepid !== undefined,
})

export const oneRequest = (id: number | undefined): LiveQuery<BuildRequest> => ({
  key: ['buildrequests', id],
  topics: [`buildrequests/${id}/*`],
  fetch: (signal) => get('buildrequests', path`buildrequests/${id ?? 0}`, {}, signal),
  // Some servers send `cancel` without an item.
  apply: (request, event) =>
    event.item === null ? request : mergeRequest(request, event.item as BuildRequest),
  enabled: id !== undefined,
})

/** The attempts at a request; usually one. */
export const requestBuilds = (id: number): LiveQuery<Page<Build>> => ({
  key: ['buildrequests', id, 'builds'],
  topics: ['builds/*/*'],
  fetch: (signal) => list('builds', path`buildrequests/${id}/builds`, {}, signal),
  apply: (page, event) => {
    const build = event.item as Build
    if (build.buildrequestid !== id) return page
    return upsert(page, build, event.name, {
      id: (b) => b.buildid,
      merge: mergeBuild,
      compare: byNumber((b) => b.buildid),
    })
  },
})

export const oneBuildset = (bsid: number | undefined): LiveQuery<Buildset> => ({
  key: ['buildsets', bsid],
  topics: [`buildsets/${bsid}/*`],
  fetch: (signal) => get('buildsets', path`buildsets/${bsid ?? 0}`, {}, signal),
  apply: (old, event) => ({ ...old, ...(event.item as Buildset) }),
  enabled: bsid !== undefined,
})

/** One page of changes, newest first. */
export const changesPage = (page: number, size: number): LiveQuery<Page<Change>> => {
  const compare = descending<Change>((c) => c.changeid)
  return {
    key: ['changes', page, size],
    topics: ['changes/*/*'],
    fetch: async (signal) => {
      const answer = await list(
        'changes',
        'changes',
        { order: '-changeid', limit: size, offset: page * size },
        signal,
      )
      // Stock servers list each page backwards.
      return { ...answer, items: answer.items.toSorted(compare) }
    },
    apply: put({ id: (c) => c.changeid, compare, limit: size, insert: page === 0, counts: isNew }),
  }
}

/** The newest changes with what a list of builds says of them. */
export const recentChanges = (): LiveQuery<Page<Change>> => {
  const compare = descending<Change>((c) => c.changeid)
  const limit = 200
  return {
    key: ['changes', 'recent'],
    topics: ['changes/*/*'],
    fetch: (signal) =>
      list(
        'changes',
        'changes',
        { order: '-changeid', limit, field: ['changeid', 'revision', 'comments', 'author'] },
        signal,
      ),
    apply: put({ id: (c) => c.changeid, compare, limit, counts: isNew }),
    staleTime: 60_000,
  }
}

export const oneChange = (id: number): LiveQuery<Change> => ({
  key: ['changes', 'one', id],
  topics: [],
  fetch: (signal) => get('changes', path`changes/${id}`, {}, signal),
  apply: (change) => change,
})

export const changeBuilds = (id: number): LiveQuery<Page<Build>> => ({
  key: ['changes', id, 'builds'],
  topics: ['builds/*/*'],
  fetch: (signal) => list('builds', path`changes/${id}/builds`, { order: '-buildid' }, signal),
  // Which change a new build belongs to is not in its event.
  apply: put({ id: (b) => b.buildid, merge: mergeBuild, insert: false }),
  refetchOn: (event) => isNew(event.name),
})

export const allSchedulers = (): LiveQuery<Page<Scheduler>> => ({
  key: ['schedulers'],
  topics: ['schedulers/*/*'],
  fetch: (signal) => list('schedulers', 'schedulers', { order: 'name' }, signal),
  apply: put({ id: (s) => s.schedulerid, merge: (old, next) => ({ ...old, ...next }) }),
})

/** The force schedulers that can build a builder. */
export const builderForceSchedulers = (builderid: number): LiveQuery<Page<ForceScheduler>> => ({
  key: ['builders', builderid, 'forceschedulers'],
  topics: [],
  fetch: (signal) => list('forceschedulers', path`builders/${builderid}/forceschedulers`, {}, signal),
  apply: (page) => page,
  staleTime: 60_000,
})

/** Nothing is told of projects: they change with the configuration, and so do their builders. */
export const allProjects = (): LiveQuery<Page<Project>> => ({
  key: ['projects'],
  topics: ['builders/*/*'],
  fetch: (signal) => list('projects', 'projects', { order: 'name' }, signal),
  apply: (old) => old,
  refetchOn: () => true,
})

export const allPipelines = (): LiveQuery<Page<Pipeline>> => ({
  key: ['pipelines'],
  topics: ['pipelines/*/*'],
  fetch: (signal) => list('pipelines', 'pipelines', { order: 'name' }, signal),
  apply: put({
    id: (p) => p.pipelineid,
    compare: (a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  }),
})

export const onePipeline = (id: number): LiveQuery<Pipeline> => ({
  key: ['pipelines', id],
  topics: [`pipelines/${id}/*`],
  fetch: (signal) => get('pipelines', path`pipelines/${id}`, {}, signal),
  apply: (_old, event) => event.item as Pipeline,
})

/** The jobs that its next run will have: none if it has no runs any more, or if they stand in a repository. */
export const pipelineDefinition = (id: number): LiveQuery<Page<PlannedJob>> => ({
  key: ['pipelines', id, 'definition'],
  topics: [`pipelines/${id}/*`],
  fetch: (signal) => list('definition', path`pipelines/${id}/definition`, {}, signal),
  apply: (old) => old,
  refetchOn: () => true,
})

/** What a row needs of a run. */
const RUN_FIELDS = [
  'runid',
  'pipelineid',
  'pipeline',
  'state',
  'complete',
  'results',
  'why',
  'reason',
  'scheduler',
  'created_at',
  'started_at',
  'complete_at',
  'sourcestamps',
]

/** The newest runs of all pipelines, with what squares need. */
export const latestRuns = (limit: number): LiveQuery<Page<Run>> => ({
  key: ['runs', 'latest', limit],
  topics: ['runs/*/*'],
  fetch: (signal) => list('runs', 'runs', { order: '-runid', limit, field: RUN_FIELDS }, signal),
  apply: put({
    id: (r) => r.runid,
    merge: mergeRun,
    compare: descending((r) => r.runid),
    limit,
    counts: isNew,
  }),
})

/** One page of a pipeline's runs, newest first. */
export const pipelineRuns = (pipelineid: number, page: number, size: number): LiveQuery<Page<Run>> => ({
  key: ['pipelines', pipelineid, 'runs', page, size],
  topics: [`pipelines/${pipelineid}/runs/*/*`],
  fetch: (signal) =>
    list(
      'runs',
      path`pipelines/${pipelineid}/runs`,
      { order: '-runid', limit: size, offset: page * size, field: RUN_FIELDS },
      signal,
    ),
  apply: put({
    id: (r) => r.runid,
    merge: mergeRun,
    compare: descending((r) => r.runid),
    limit: size,
    insert: page === 0,
    counts: isNew,
  }),
})

/** The runs that a change led to, with what is wrong with the jobs of its repository. */
export const changeRuns = (id: number): LiveQuery<Page<Run>> => ({
  key: ['changes', id, 'runs'],
  topics: ['runs/*/*'],
  fetch: (signal) =>
    list(
      'runs',
      path`changes/${id}/runs`,
      { order: '-runid', field: [...RUN_FIELDS, 'trusted', 'source'] },
      signal,
    ),
  // Which change a new run belongs to is told by asking.
  apply: put({ id: (r) => r.runid, merge: mergeRun, insert: false }),
  refetchOn: (event) => isNew(event.name),
})

export const oneRun = (id: number): LiveQuery<Run> => ({
  key: ['runs', id],
  topics: [`runs/${id}/*`],
  fetch: (signal) => get('runs', path`runs/${id}`, {}, signal),
  apply: (run, event) => mergeRun(run, event.item as Run),
})

/** One page of a run's jobs, in the order of the definition. */
export const runJobs = (runid: number, page: number, size: number): LiveQuery<Page<Job>> => ({
  key: ['runs', runid, 'jobs', page, size],
  topics: [`runs/${runid}/jobs/*/*`],
  fetch: (signal) =>
    list('jobs', path`runs/${runid}/jobs`, { order: 'number', limit: size, offset: page * size }, signal),
  apply: (all, event) => {
    const job = event.item as Job
    const here = job.number >= page * size && job.number < (page + 1) * size
    return here
      ? upsert(all, job, event.name, {
          id: (j) => j.jobid,
          merge: mergeJob,
          compare: byNumber((j) => j.number),
        })
      : isNew(event.name)
        ? { ...all, total: Math.max(all.total, job.number + 1) }
        : all
  },
})

/** The builds of a job, one for each time that it was tried; read again when `version` is another. */
export const jobBuilds = (
  jobid: number,
  version: string,
): LiveQuery<readonly Pick<Build, 'buildid' | 'results'>[]> => ({
  key: ['jobs', jobid, 'builds', version],
  topics: [],
  fetch: async (signal) => {
    const query = { field: ['buildid', 'results'], order: 'buildid' }
    return (await list('builds', path`jobs/${jobid}/builds`, query, signal)).items
  },
  apply: (old) => old,
})

export const oneJob = (id: number | undefined): LiveQuery<Job> => ({
  key: ['jobs', id],
  topics: [`jobs/${id}/*`],
  fetch: (signal) => get('jobs', path`jobs/${id ?? 0}`, {}, signal),
  apply: (job, event) => mergeJob(job, event.item as Job),
  enabled: id !== undefined,
})

/** What a job waits for, in the engine's own words; none once it does not wait. */
export const whyJobWaits = (id: number): LiveQuery<string | null> => ({
  key: ['jobs', id, 'waiting'],
  topics: ['workers/*/*', 'buildrequests/*/*', `jobs/${id}/*`],
  fetch: async (signal) =>
    (await list('waiting', path`jobs/${id}/waiting`, {}, signal)).items[0]?.why ?? null,
  apply: (why) => why,
  refetchOn: () => true,
})
