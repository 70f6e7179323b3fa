/** Runs and jobs for tests: what the API says of them, apart from what a test is about. */

import type { Job, Pipeline, Run } from '../api/types'

export const aPipeline = (more: Partial<Pipeline> = {}): Pipeline => ({
  pipelineid: 3,
  name: 'main line',
  project: '',
  description: null,
  active: true,
  ...more,
})

export const aRun = (more: Partial<Run> = {}): Run => ({
  runid: 7,
  pipelineid: 3,
  pipeline: 'main line',
  state: 'running',
  complete: false,
  results: null,
  why: null,
  reason: "started by 'admin': to see it",
  scheduler: '',
  priority: 0,
  created_at: 1_700_000_000,
  started_at: 1_700_000_001,
  complete_at: null,
  stopped_by: null,
  parent_jobid: null,
  retried_runid: null,
  trusted: true,
  source: null,
  changes: [],
  sourcestamps: [],
  ...more,
})

export const aJob = (number: number, name: string, more: Partial<Job> = {}): Job => ({
  jobid: 100 + number,
  runid: 7,
  number,
  name,
  group: name,
  matrix: {},
  needs: [],
  state: 'waiting',
  complete: false,
  results: null,
  cause: null,
  why: null,
  attempts: 0,
  buildrequestid: null,
  buildid: null,
  child_runid: null,
  approved_by: null,
  queued_at: null,
  started_at: null,
  complete_at: null,
  definition: {},
  ...more,
})

export const ended = (results: Job['results'], more: Partial<Job> = {}): Partial<Job> => ({
  state: 'complete',
  complete: true,
  results,
  attempts: 1,
  started_at: 1_700_000_001,
  complete_at: 1_700_000_066,
  ...more,
})
