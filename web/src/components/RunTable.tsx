import { Link } from '@tanstack/react-router'
import type { Run } from '../api/types'
import { firstLine, formatDate, shortRevision } from '../lib/format'
import { runShown } from '../lib/runs'
import css from './BuildTable.module.css'
import squares from './Squares.module.css'
import { StatusMark, StatusText } from './Status'
import { Ago, Duration } from './Time'

/** A table of runs of a pipeline. */
export function RunTable({ runs, caption }: { runs: readonly Run[]; caption: string }) {
  return (
    <table className={css.table}>
      <caption className="visually-hidden">{caption}</caption>
      <thead>
        <tr>
          <th className={css.status}>State</th>
          <th className={css.number}>Run</th>
          <th>Reason</th>
          <th className={css.source}>Source</th>
          <th className={css.when}>Created</th>
          <th className={css.took}>Took</th>
        </tr>
      </thead>
      <tbody>
        {runs.map((run) => {
          const { status, text } = runShown(run)
          const stamp = run.sourcestamps[0]
          return (
            <tr key={run.runid}>
              <td className={css.status}>
                <StatusText status={status} text={text} />
              </td>
              <td className={css.number}>
                <Link to="/runs/$run" params={{ run: String(run.runid) }}>
                  #{run.runid}
                </Link>
                <span className={css.below}>{firstLine(run.reason)}</span>
              </td>
              <td className={css.what}>
                <span>{firstLine(run.reason)}</span>
                {run.why && <span>{firstLine(run.why)}</span>}
              </td>
              <td className={css.source}>
                {stamp?.branch && <span className={css.branch}>{stamp.branch}</span>}
                {stamp?.revision && <code title={stamp.revision}>{shortRevision(stamp.revision)}</code>}
              </td>
              <td className={css.when}>
                <Ago at={run.created_at} />
              </td>
              <td className={css.took}>
                {run.started_at !== null && <Duration from={run.started_at} to={run.complete_at} />}
              </td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}

/** The last runs of one pipeline, oldest left. */
export function RunSquares({ runs, name }: { runs: readonly Run[]; name: string }) {
  return (
    <ol className={squares.squares} aria-label={`Last runs of ${name}, newest last`}>
      {runs.toReversed().map((run) => {
        const { status, text } = runShown(run)
        const label = `#${run.runid}: ${text}`
        return (
          <li key={run.runid}>
            <a
              href={`#/runs/${run.runid}`}
              className={squares.square}
              data-status={status}
              aria-label={label}
              title={`${label}\n${run.reason}\ncreated ${formatDate(run.created_at)}`}
            >
              <StatusMark status={status} />
            </a>
          </li>
        )
      })}
    </ol>
  )
}
