/** The jobs of a run as a graph, each with where it stands. */

import type { Job } from '../api/types'
import { jobShown } from '../lib/runs'
import { type Entry, JobGraph } from './JobGraph'
import css from './JobGraph.module.css'
import { JobLink, rowId } from './JobLink'
import { StatusIcon } from './Status'
import { Duration } from './Time'

export default function RunGraph({ jobs }: { jobs: readonly Job[] }) {
  return <JobGraph jobs={jobs} entry={RunEntry} label="Graph of the jobs" />
}

const RunEntry: Entry<Job> = ({ job, name, onFocus }) => {
  const { status, text } = jobShown(job)
  const content = (
    <>
      <StatusIcon status={status} label="" />
      <span className={css.words}>
        <span className={css.name}>{name}</span>
        <span className={css.state}>
          <span className={css.word}>{text}</span>
          {job.started_at !== null && (
            <>
              {' · '}
              <Duration from={job.started_at} to={job.complete_at} />
            </>
          )}
        </span>
      </span>
    </>
  )
  return (
    <div className={css.job} data-status={status} data-waits={job.state === 'awaiting_approval' || undefined}>
      <JobLink
        job={job}
        className={css.entry}
        title={job.name}
        onFocus={onFocus}
        otherwise={
          <button
            type="button"
            className={css.entry}
            title={`${job.name}: to its row in the table`}
            onFocus={onFocus}
            onClick={() => document.getElementById(rowId(job))?.focus()}
          >
            {content}
          </button>
        }
      >
        {content}
      </JobLink>
    </div>
  )
}
