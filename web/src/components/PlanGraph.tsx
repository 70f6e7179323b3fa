/** The jobs that the next run of a pipeline will have, as a graph. */

import { Link } from '@tanstack/react-router'
import type { PlannedJob } from '../api/types'
import { plannedShown } from '../lib/runs'
import { type Entry, JobGraph } from './JobGraph'
import css from './JobGraph.module.css'

export default function PlanGraph({ jobs }: { jobs: readonly PlannedJob[] }) {
  return <JobGraph jobs={jobs} entry={PlanEntry} label="Graph of the pipeline's jobs" />
}

const PlanEntry: Entry<PlannedJob> = ({ job, name, onFocus }) => {
  const { work } = job.definition
  const content = (
    <span className={css.words}>
      <span className={css.name}>{name}</span>
      <span className={css.state}>{plannedShown(job)}</span>
    </span>
  )
  const rest = { className: css.entry, title: `${job.name}: ${plannedShown(job)}`, onFocus }
  return (
    <div className={css.job}>
      {work.type === 'build' ? (
        <Link to="/builders/$builder" params={{ builder: work.builder }} {...rest}>
          {content}
        </Link>
      ) : (
        <div {...rest}>{content}</div>
      )}
    </div>
  )
}
