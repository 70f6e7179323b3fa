/**
 * The resources of REST v2, as they travel. Dates are Unix seconds. A full item always has all its
 * fields; what may be absent from a server is marked optional.
 */

/** Buildbot's result codes; closed. */
export const Result = {
  success: 0,
  warnings: 1,
  failure: 2,
  skipped: 3,
  exception: 4,
  retry: 5,
  cancelled: 6,
} as const
export type Result = (typeof Result)[keyof typeof Result]

export type UnixSeconds = number
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** name → [value, source]. */
export type Properties = Readonly<Record<string, readonly [value: Json, source: string]>>

/** Why it ended so: `exit_code`, `infrastructure` …; each kind has its own further members. */
export interface Cause {
  readonly kind: string
  readonly [member: string]: Json
}

export interface Build {
  buildid: number
  /** Per builder, from 1. */
  number: number
  builderid: number
  buildrequestid: number
  workerid: number
  masterid: number
  started_at: UnixSeconds
  complete: boolean
  complete_at: UnixSeconds | null
  locks_duration_s: number
  results: Result | null
  state_string: string
  /** Empty unless asked for with `property=`. */
  properties: Properties
  /** Not from every server. */
  cause?: Cause | null
}

export interface Builder {
  builderid: number
  name: string
  /** Masters that have it configured now; empty means that it was removed from the configuration. */
  masterids: readonly number[]
  description: string | null
  projectid: number | null
  tags: readonly string[]
}

export interface Project {
  projectid: number
  name: string
  description: string | null
  active: boolean
}

/** What a request or a job waits for. */
export interface Waiting {
  /** In words, without a full stop. */
  why: string
  /** What would make it run, in words, without a full stop; not said of jobs. */
  remedy?: string
}

export interface BuildRequest {
  buildrequestid: number
  buildsetid: number
  builderid: number
  priority: number
  claimed: boolean
  claimed_at: UnixSeconds | null
  claimed_by_masterid: number | null
  complete: boolean
  complete_at: UnixSeconds | null
  /** -1 while it is not complete. */
  results: Result | -1
  submitted_at: UnixSeconds
  waited_for: boolean
  properties: Properties | null
  /** Not from every server. */
  cause?: Cause | null
}

export interface Patch {
  patchid: number
  level: number
  subdir: string
  author: string
  comment: string
  body: string | null
}

export interface SourceStamp {
  ssid: number
  branch: string | null
  revision: string | null
  project: string
  repository: string
  codebase: string
  created_at: UnixSeconds
  patch: Patch | null
}

export interface Buildset {
  bsid: number
  complete: boolean
  complete_at: UnixSeconds | null
  external_idstring: string | null
  parent_buildid: number | null
  parent_relationship?: string | null
  reason: string
  rebuilt_buildid: number | null
  results: Result | -1 | null
  sourcestamps: readonly SourceStamp[]
  submitted_at: UnixSeconds
  /** The job of a pipeline's run that it was made for; not from every server. */
  jobid?: number | null
}

export interface Pipeline {
  pipelineid: number
  name: string
  project: string
  description: string | null
  /** Whether the configuration has it now. */
  active: boolean
}

/** Where the jobs of a run stand, if that is in the repository. */
export interface RunSource {
  file: string
  repository: string
  branch: string | null
  revision: string | null
  /** Why they cannot be used. `text` may be empty. */
  problem?: { summary: string; text: string }
}

export interface Run {
  runid: number
  pipelineid: number
  pipeline: string
  state: 'defining' | 'queued' | 'running' | 'stopping' | 'complete'
  complete: boolean
  results: Result | null
  /** More about the state, for people. */
  why: string | null
  reason: string
  /** Empty if a person started it. */
  scheduler: string
  priority: number
  created_at: UnixSeconds
  started_at: UnixSeconds | null
  complete_at: UnixSeconds | null
  stopped_by: string | null
  /** The job of another run that started it. */
  parent_jobid: number | null
  retried_runid: number | null
  trusted: boolean
  source: RunSource | null
  changes: readonly number[]
  sourcestamps: readonly SourceStamp[]
}

export interface Job {
  jobid: number
  runid: number
  /** In the run, from 0. */
  number: number
  name: string
  /** The name of the whole matrix; of a job without one its own. */
  group: string
  matrix: Readonly<Record<string, Json>>
  /** Numbers of the jobs that it needs. */
  needs: readonly number[]
  state: 'waiting' | 'awaiting_approval' | 'queued' | 'running' | 'complete' | 'skipped' | 'expired'
  complete: boolean
  results: Result | null
  cause: Cause | null
  why: string | null
  attempts: number
  buildrequestid: number | null
  buildid: number | null
  child_runid: number | null
  approved_by: string | null
  queued_at: UnixSeconds | null
  started_at: UnixSeconds | null
  complete_at: UnixSeconds | null
  definition: {
    readonly approval?: { readonly prompt?: string; readonly users?: readonly string[] } | null
    readonly optional?: boolean
  }
}

/** A job that the next run of a pipeline will have. */
export interface PlannedJob extends Pick<Job, 'number' | 'name' | 'group' | 'matrix' | 'needs'> {
  definition: {
    readonly work:
      | { readonly type: 'gate' }
      | { readonly type: 'build'; readonly builder: string }
      | { readonly type: 'pipeline'; readonly pipeline: string }
    readonly approval?: object | null
    readonly when?: object | null
    readonly unless?: object | null
    readonly optional?: boolean
  }
}

export interface Change {
  changeid: number
  author: string
  committer: string | null
  branch: string | null
  category: string | null
  codebase: string
  comments: string
  files: readonly string[]
  parent_changeids: readonly number[]
  project: string
  properties: Properties
  repository: string
  revision: string | null
  revlink: string | null
  sourcestamp: SourceStamp
  when_timestamp: UnixSeconds
}

export interface Step {
  stepid: number
  /** From 0 in each build. */
  number: number
  name: string
  buildid: number
  started_at: UnixSeconds | null
  locks_acquired_at: UnixSeconds | null
  complete: boolean
  complete_at: UnixSeconds | null
  results: Result | null
  state_string: string
  urls: readonly { readonly name: string; readonly url: string }[]
  hidden: boolean
  /** Not from every server. */
  cause?: Cause | null
}

/** `s`: each line starts with its stream letter; `t`: plain text; `h`: HTML; `d`: deleted. */
export type LogType = 's' | 't' | 'h' | 'd'

export interface Log {
  logid: number
  name: string
  slug: string
  stepid: number
  complete: boolean
  num_lines: number
  type: LogType
}

export interface LogChunk {
  logid: number
  firstline: number
  content: string
}

export interface Worker {
  workerid: number
  name: string
  connected_to: readonly { readonly masterid: number }[]
  configured_on: readonly { readonly masterid: number; readonly builderid: number }[]
  /** `admin`, `host`, `version` …; empty when it has never been connected. Other keys are shown as they are. */
  workerinfo: Readonly<Record<string, Json>>
  /** What the worker has found out about its machine; not from every server. */
  facts?: Readonly<Record<string, Json>>
  paused: boolean
  pause_reason: string | null
  /** It takes nothing new, and ends when it is idle. */
  graceful: boolean
  /** It is to end at once; not from every server, like all that follows. */
  killed?: boolean
  /** It has been away for longer than it may. */
  missing?: boolean
  disconnected_at?: UnixSeconds | null
  /** When the next of its windows begins in which it takes nothing new. */
  downtime_from?: UnixSeconds | null
  /** When the one ends that it is in. */
  downtime_until?: UnixSeconds | null
  /** How many builds it takes at once. */
  slots?: number
}

export interface Master {
  masterid: number
  name: string
  active: boolean
  last_active: UnixSeconds
}

export interface Scheduler {
  schedulerid: number
  name: string
  enabled: boolean
  master: Master | null
}

/** A scheduler for patches that are tried before they are committed. */
export interface TryScheduler {
  name: string
  builder_names: readonly string[]
  enabled: boolean
  /** Jobs that it did not accept lately, oldest first. `file`: its name in the folder `bad`, if it came as a file. */
  refused: readonly { readonly file: string | null; readonly reason: string; readonly at: UnixSeconds }[]
}

/** One field of a force form; `nested` has children. */
export interface ForceField {
  name: string
  /** The key of its value; null for a group that only arranges its children. */
  fullName: string | null
  label: string
  tablabel: string
  type:
    | 'text'
    | 'textarea'
    | 'int'
    | 'bool'
    | 'username'
    | 'list'
    | 'file'
    | 'fixed'
    | 'nested'
    | (string & {})
  default: Json
  required: boolean
  multiple: boolean
  regex: string | null
  hide: boolean
  maxsize: number | null
  autopopulate?: Readonly<Record<string, Readonly<Record<string, Json>>>> | null
  tooltip: string
  size?: number
  cols?: number
  rows?: number
  need_email?: boolean
  choices?: readonly string[]
  strict?: boolean
  fields?: readonly ForceField[]
  layout?: 'vertical' | 'simple' | 'tabs' | (string & {})
  columns?: number
}

export interface ForceScheduler {
  name: string
  button_name: string
  label: string
  enabled: boolean
  builder_names: readonly string[]
  all_fields: readonly ForceField[]
}

export interface User {
  anonymous?: boolean
  username?: string
  full_name?: string
  email?: string
}

/** What `/config` tells; only what this UI uses. */
export interface SiteConfig {
  title: string
  titleURL: string
  buildbotURL: string
  versions: readonly (readonly [name: string, version: string])[]
  user: User
  auth: { readonly name: string }
  on_load_warning?: string
}

/** A configuration that came into force. */
export interface Configuration {
  digest: string
  loaded_at: UnixSeconds
  by: string
  /** By what: `start`, `signal`, `cli`, `api`. */
  via: string
  files: readonly string[]
  in_force: boolean
}

/** Plural name in the envelope → item type. */
export interface Resources {
  configurations: Configuration
  builds: Build
  builders: Builder
  buildrequests: BuildRequest
  buildsets: Buildset
  changes: Change
  steps: Step
  logs: Log
  logchunks: LogChunk
  workers: Worker
  masters: Master
  schedulers: Scheduler
  forceschedulers: ForceScheduler
  tryschedulers: TryScheduler
  properties: Properties
  waiting: Waiting
  pipelines: Pipeline
  definition: PlannedJob
  projects: Project
  runs: Run
  jobs: Job
}
export type Plural = keyof Resources
