import { Link } from '@tanstack/react-router'
import type { Change } from '../api/types'
import { counted, firstLine, personName, shortRevision } from '../lib/format'
import { ChangeDetails } from './ChangeDetails'
import css from './ChangeList.module.css'
import { Ago } from './Time'

/** Changes; each unfolds into its message and files. */
export function ChangeList({ changes }: { changes: readonly Change[] }) {
  return (
    <ul className={css.list}>
      {changes.map((change) => (
        <li key={change.changeid}>
          <details className={css.change}>
            <summary>
              <span className={css.comment}>{firstLine(change.comments) || '(no message)'}</span>
              <span className={css.meta}>
                {personName(change.author)}
                {change.branch && ` · ${change.branch}`}
                {` · ${counted(change.files.length, 'file')}`}
              </span>
              {change.revision && <code>{shortRevision(change.revision)}</code>}
              <span className={css.when}>
                <Ago at={change.when_timestamp} />
              </span>
            </summary>
            <ChangeDetails change={change} />
            <p className={css.more}>
              <Link to="/changes/$change" params={{ change: String(change.changeid) }}>
                Builds of this change
              </Link>
            </p>
          </details>
        </li>
      ))}
    </ul>
  )
}
