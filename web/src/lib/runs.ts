/** Runs of pipelines and their jobs: what their states are called, and what can be done with them. */

import type { Job, PlannedJob, Run, User } from '../api/types'
import { type Status, statusOfResult, statusWord } from './results'

export interface Shown {
  status: Status
  text: string
}

export function runShown(run: Pick<Run, 'state' | 'results'>): Shown {
  switch (run.state) {
    case 'defining':
      return { status: 'pending', text: 'Reading its jobs' }
    case 'queued':
      return { status: 'pending', text: 'Queued' }
    case 'running':
      return { status: 'running', text: 'Running' }
    case 'stopping':
      return { status: 'running', text: 'Stopping' }
    default: {
      const status = statusOfResult(run.results)
      return { status, text: statusWord(status) }
    }
  }
}

export function jobShown(job: Pick<Job, 'state' | 'results' | 'approved_by'>): Shown {
  switch (job.state) {
    case 'waiting':
      return { status: 'pending', text: 'Waiting' }
    case 'awaiting_approval':
      return { status: 'pending', text: 'Needs approval' }
    case 'queued':
      return { status: 'pending', text: 'Queued' }
    case 'running':
      return { status: 'running', text: 'Running' }
    case 'skipped':
      if (statusOfResult(job.results) !== 'cancelled') return { status: 'skipped', text: 'Skipped' }
      return { status: 'cancelled', text: job.approved_by === null ? 'Cancelled' : 'Rejected' }
    case 'expired':
      return { status: job.results === null ? 'failure' : statusOfResult(job.results), text: 'Expired' }
    default: {
      const status = statusOfResult(job.results)
      return { status, text: statusWord(status) }
    }
  }
}

/** Whether a run that is over has something that can be tried again. */
export const canRetry = (run: Pick<Run, 'complete' | 'results'>): boolean =>
  run.complete && run.results !== null && run.results > 1

/** Who may approve a job; nobody is named if everybody may who may control the master. */
export const approvers = (job: Pick<Job, 'definition'>): readonly string[] =>
  job.definition.approval?.users ?? []

/** Somebody who is not logged in may yet log in as one who may. */
export function mayApprove(job: Pick<Job, 'definition'>, user: User): boolean {
  const users = approvers(job)
  return users.length === 0 || user.username === undefined || users.includes(user.username)
}

/** What a job of a pipeline does, and when it does not simply follow those that it needs. */
export function plannedShown({ definition }: Pick<PlannedJob, 'definition'>): string {
  const { work, approval, optional, when, unless } = definition
  const does =
    work.type === 'build'
      ? `builds ${work.builder}`
      : work.type === 'pipeline'
        ? `starts ${work.pipeline}`
        : 'joins others'
  const also = [approval && 'approval', (when || unless) && 'conditions', optional && 'optional'].filter(
    Boolean,
  )
  return [does, ...also].join(' · ')
}

/** What a graph has to know of a job. */
export type GraphJob = Pick<Job, 'number' | 'name' | 'group' | 'matrix' | 'needs'>

/** Jobs of one name, which a matrix has made. */
export interface JobGroup<J> {
  name: string
  jobs: J[]
}

export function groupJobs<J extends GraphJob>(jobs: readonly J[]): JobGroup<J>[] {
  const groups = new Map<string, JobGroup<J>>()
  for (const job of jobs) {
    const group = groups.get(job.group)
    if (group) group.jobs.push(job)
    else groups.set(job.group, { name: job.group, jobs: [job] })
  }
  return [...groups.values()]
}

/** What a job of a matrix is called below the name of its group: its values, in the order of the axes if the name has them. */
export function shortName(job: Pick<Job, 'name' | 'group' | 'matrix'>): string {
  const values = Object.values(job.matrix)
  if (values.length === 0) return job.name
  const before = `${job.group} (`
  if (job.name.startsWith(before) && job.name.endsWith(')')) return job.name.slice(before.length, -1)
  return values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(', ')
}
