import type { Change } from '../api/types'
import { counted } from '../lib/format'
import css from './ChangeList.module.css'

/** Only web addresses become links: what a change says comes from outside. */
const isWeb = (url: string): boolean => /^https?:\/\//i.test(url)

export function ChangeDetails({ change }: { change: Change }) {
  const facts: [string, string | null][] = [
    ['Author', change.author],
    ['Committer', change.committer !== change.author ? change.committer : null],
    ['Repository', change.repository],
    ['Project', change.project],
    ['Code base', change.codebase],
    ['Category', change.category],
  ]
  return (
    <div className={css.details}>
      <pre className={css.message}>{change.comments.trim()}</pre>
      <dl className={css.facts}>
        {change.revision && (
          <div>
            <dt>Revision</dt>
            <dd>
              {change.revlink && isWeb(change.revlink) ? (
                <a href={change.revlink} target="_blank" rel="noopener noreferrer">
                  <code>{change.revision}</code>
                </a>
              ) : (
                <code>{change.revision}</code>
              )}
            </dd>
          </div>
        )}
        {facts.map(([label, value]) =>
          value ? (
            <div key={label}>
              <dt>{label}</dt>
              <dd>{value}</dd>
            </div>
          ) : null,
        )}
      </dl>
      {change.files.length > 0 && (
        <details className={css.files} open={change.files.length <= 30}>
          <summary>{counted(change.files.length, 'file')}</summary>
          <ul>
            {change.files.map((file) => (
              <li key={file}>
                <code>{file}</code>
              </li>
            ))}
          </ul>
        </details>
      )}
    </div>
  )
}
