import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { path } from '../api/base'
import { call } from '../api/client'
import { useLive } from '../api/live'
import { jobBuilds, whyJobWaits } from '../api/queries'
import type { Job } from '../api/types'
import { useControl, useSession } from '../auth/session'
import { describeCause } from '../lib/cause'
import { counted } from '../lib/format'
import { statusOfResult, statusWord } from '../lib/results'
import { approvers, jobShown, mayApprove } from '../lib/runs'
import { Button } from './Button'
import { JobLink, rowId } from './JobLink'
import css from './JobTable.module.css'
import { ReasonDialog } from './ReasonDialog'
import { type NewRun, useFollowRun } from './StartRunDialog'
import { StatusText } from './Status'
import { Duration } from './Time'

/**
 * Of so many jobs that wait for a worker the page asks why, and of so many that were tried several times it shows each;
 * pages of their own say it of the others.
 */
const ASKED = 10

/** A table of the jobs of a run, with what can be done about them. */
export function JobTable({ jobs, runComplete }: { jobs: readonly Job[]; runComplete: boolean }) {
  const byNumber = new Map(jobs.map((job) => [job.number, job]))
  const asked = firstOf(jobs, ({ state }) => state === 'queued')
  const tried = firstOf(jobs, ({ attempts }) => attempts > 1)
  const [deciding, setDeciding] = useState<{ job: Job; approve: boolean } | undefined>(undefined)
  const follow = useFollowRun()
  const approve = useControl(
    'approve the job',
    ({ job, reason }: { job: number; reason: string }) =>
      call(path`jobs/${job}`, 'approve', { reason: reason || 'approved in the web UI' }),
    { done: 'The job is approved.' },
  )
  const reject = useControl(
    'reject the job',
    ({ job, reason }: { job: number; reason: string }) =>
      call(path`jobs/${job}`, 'reject', { reason: reason || 'rejected in the web UI' }),
    { done: 'The job is rejected.' },
  )
  const retry = useControl('try the job again', (job: number) => call<NewRun>(path`jobs/${job}`, 'retry'), {
    onSuccess: follow,
  })
  return (
    <>
      {deciding && (
        <ReasonDialog
          title={`${deciding.approve ? 'Approve' : 'Reject'} ${deciding.job.name}?`}
          text={[deciding.job.definition.approval?.prompt, whatFollows(deciding)].filter(Boolean).join(' ')}
          confirm={deciding.approve ? 'Approve the job' : 'Reject the job'}
          danger={!deciding.approve}
          onClose={() => setDeciding(undefined)}
          onConfirm={(reason) => {
            setDeciding(undefined)
            const control = deciding.approve ? approve : reject
            control.mutate({ job: deciding.job.jobid, reason })
          }}
        />
      )}
      <table className={css.table}>
        <caption className="visually-hidden">Jobs of the run, in the order of the pipeline</caption>
        <thead>
          <tr>
            <th className={css.status}>State</th>
            <th className={css.name}>Job</th>
            <th className={css.why}>Why</th>
            <th className={css.took}>Took</th>
            <th className={css.action}>
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => {
            const { status, text } = jobShown(job)
            return (
              <tr key={job.jobid} id={rowId(job)} tabIndex={-1}>
                <td className={css.status}>
                  <StatusText status={status} text={text} />
                </td>
                <th scope="row" className={css.name}>
                  <JobLink job={job} otherwise={job.name}>
                    {job.name}
                  </JobLink>
                  <span className={css.below}>
                    <Why job={job} byNumber={byNumber} ask={asked.has(job)} each={tried.has(job)} />
                  </span>
                </th>
                <td className={css.why}>
                  <Why job={job} byNumber={byNumber} ask={asked.has(job)} each={tried.has(job)} />
                </td>
                <td className={css.took}>
                  {job.started_at !== null && <Duration from={job.started_at} to={job.complete_at} />}
                </td>
                <td className={css.action}>
                  {job.state === 'awaiting_approval' && (
                    <Decision
                      job={job}
                      busy={
                        (approve.isPending && approve.variables.job === job.jobid) ||
                        (reject.isPending && reject.variables.job === job.jobid)
                      }
                      decide={(yes) => setDeciding({ job, approve: yes })}
                    />
                  )}
                  {runComplete && job.results !== null && job.results > 1 && (
                    <Button
                      small
                      kind="quiet"
                      busy={retry.isPending && retry.variables === job.jobid}
                      aria-label={`Retry ${job.name}`}
                      onClick={() => retry.mutate(job.jobid)}
                    >
                      Retry
                    </Button>
                  )}
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </>
  )
}

const firstOf = (jobs: readonly Job[], which: (job: Job) => boolean): ReadonlySet<Job> =>
  new Set(jobs.filter(which).slice(0, ASKED))

function whatFollows({ job, approve }: { job: Job; approve: boolean }): string {
  if (approve) return 'The job starts as soon as a worker is free.'
  return job.definition.optional
    ? 'The job is skipped; the run goes on without it.'
    : 'The job is skipped, and the run ends as cancelled.'
}

function Decision({ job, busy, decide }: { job: Job; busy: boolean; decide: (approve: boolean) => void }) {
  const { user } = useSession()
  if (!mayApprove(job, user)) return null
  return (
    <>
      <Button
        small
        kind="primary"
        busy={busy}
        aria-label={`Approve ${job.name}`}
        onClick={() => decide(true)}
      >
        Approve
      </Button>{' '}
      <Button small kind="danger" busy={busy} aria-label={`Reject ${job.name}`} onClick={() => decide(false)}>
        Reject
      </Button>
    </>
  )
}

interface WhyProps {
  job: Job
  byNumber: ReadonlyMap<number, Job>
  /** Whether the master is asked what it waits for. */
  ask: boolean
  /** Whether each of its attempts is shown. */
  each: boolean
}

/** Why it waits, was skipped or ended as it did. */
function Why({ job, byNumber, ask, each }: WhyProps) {
  const parts: string[] = []
  if (job.state === 'waiting') {
    const open = job.needs.filter((need) => byNumber.get(need)?.complete !== true)
    const names = open.slice(0, 3).map((need) => byNumber.get(need)?.name ?? `job ${need}`)
    if (open.length > 3) names.push(counted(open.length - 3, 'other'))
    if (names.length > 0) parts.push(`it needs ${names.join(', ')}`)
  }
  if (job.state === 'awaiting_approval') {
    const users = approvers(job)
    const prompt = job.definition.approval?.prompt
    if (prompt) parts.push(prompt)
    parts.push(
      users.length > 0 ? `one of these has to approve it: ${users.join(', ')}` : 'somebody has to approve it',
    )
  }
  if (job.why) parts.push(job.why)
  const cause = describeCause(job.cause)
  if (cause) parts.push(cause)
  if (job.state !== 'awaiting_approval' && job.state !== 'skipped' && job.approved_by)
    parts.push(`approved by ${job.approved_by}`)
  if (job.attempts > 1) parts.push(counted(job.attempts, 'attempt'))
  return (
    <>
      {parts.join(' · ')}
      {ask && <Waits job={job} first={parts.length === 0} />}
      {each && <Attempts job={job} />}
      {job.child_runid !== null && (
        <>
          {parts.length > 0 && ' · '}
          <Link to="/runs/$run" params={{ run: String(job.child_runid) }}>
            run {job.child_runid}
          </Link>
        </>
      )}
    </>
  )
}

function Waits({ job, first }: { job: Job; first: boolean }) {
  const why = useLive(whyJobWaits(job.jobid)).data
  return why ? `${first ? '' : ' · '}${why}` : null
}

/** The builds of a job that was tried several times. */
function Attempts({ job }: { job: Job }) {
  const builds = useLive(jobBuilds(job.jobid, `${job.attempts} ${job.state}`)).data ?? []
  return (
    <span className={css.attempts}>
      {builds.map(({ buildid, results }, at) => {
        const word = results === null ? 'running' : statusWord(statusOfResult(results)).toLowerCase()
        return (
          <Link
            key={buildid}
            to="/builds/$buildid"
            params={{ buildid: String(buildid) }}
            title={word}
            aria-label={`attempt ${at + 1} of ${job.name}, ${word}`}
          >
            #{at + 1}
          </Link>
        )
      })}
    </span>
  )
}
