import { Link } from '@tanstack/react-router'
import type { FocusEventHandler, ReactNode } from 'react'
import { useLive } from '../api/live'
import { oneJob } from '../api/queries'
import type { Job } from '../api/types'

/** The row of a job in the table. */
export const rowId = (job: Pick<Job, 'jobid'>): string => `job-${job.jobid}`

interface Props {
  job: Job
  className?: string | undefined
  title?: string
  onFocus?: FocusEventHandler
  /** What stands there while there is nothing to go to. */
  otherwise: ReactNode
  children: ReactNode
}

/** To where a job is done: its build, its request, or the run that it has started. */
export function JobLink({ job, otherwise, ...rest }: Props) {
  if (job.buildid !== null)
    return <Link to="/builds/$buildid" params={{ buildid: String(job.buildid) }} {...rest} />
  if (job.child_runid !== null)
    return <Link to="/runs/$run" params={{ run: String(job.child_runid) }} {...rest} />
  if (job.buildrequestid !== null)
    return <Link to="/buildrequests/$request" params={{ request: String(job.buildrequestid) }} {...rest} />
  return otherwise
}

/** A job with its run, for what was made by it. */
export function JobOfRun({ id }: { id: number }) {
  const job = useLive(oneJob(id)).data
  return job === undefined ? (
    `job ${id}`
  ) : (
    <Link to="/runs/$run" params={{ run: String(job.runid) }}>
      {job.name} of run {job.runid}
    </Link>
  )
}
