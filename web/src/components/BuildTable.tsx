import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { Build } from '../api/types'
import { useCommits } from '../lib/commits'
import { firstLine, personName, shortRevision } from '../lib/format'
import { useBuilders, useWorkers } from '../lib/names'
import { builtRevision, textProperty } from '../lib/properties'
import { buildStatus } from '../lib/results'
import css from './BuildTable.module.css'
import { StatusText } from './Status'
import { Ago, Duration } from './Time'

/** A state string that only repeats the result is noise. */
const TRIVIAL = /^(build successful|finished|success|building|running|done)$/i

/** A table of builds. Which columns make sense depends on the page. */
export function BuildTable({
  builds,
  caption,
  showBuilder = true,
  showWorker = true,
}: {
  builds: readonly Build[]
  /** For screen readers. */
  caption: string
  showBuilder?: boolean
  showWorker?: boolean
}) {
  const builders = useBuilders()
  const workers = useWorkers()
  const commitOf = useCommits()
  const anySource = useMemo(
    () =>
      builds.some(
        (b) =>
          builtRevision(b.properties) !== undefined || textProperty(b.properties, 'branch') !== undefined,
      ),
    [builds],
  )
  return (
    <table className={css.table}>
      <caption className="visually-hidden">{caption}</caption>
      <thead>
        <tr>
          <th className={css.status}>State</th>
          <th className={showBuilder ? css.build : css.number}>Build</th>
          <th>Details</th>
          {anySource && <th className={css.source}>Source</th>}
          {showWorker && <th className={css.worker}>Worker</th>}
          <th className={css.when}>Started</th>
          <th className={css.took}>Took</th>
        </tr>
      </thead>
      <tbody>
        {builds.map((build) => {
          const status = buildStatus(build)
          const revision = builtRevision(build.properties)
          const branch = textProperty(build.properties, 'branch')
          const owner = textProperty(build.properties, 'owner')
          const reason = textProperty(build.properties, 'reason')
          const what = TRIVIAL.test(build.state_string) ? '' : build.state_string
          const commit = commitOf(revision)
          const message = commit && firstLine(commit.comments)
          const who = owner ?? commit?.author
          return (
            <tr key={build.buildid}>
              <td className={css.status}>
                <StatusText status={status} />
              </td>
              <td className={showBuilder ? css.build : css.number}>
                <Link
                  to="/builders/$builder/builds/$number"
                  params={{ builder: String(build.builderid), number: String(build.number) }}
                >
                  {showBuilder && <span className={css.name}>{builders.name(build.builderid)} </span>}
                  <span className={css.hash}>#{build.number}</span>
                </Link>
                {(message || reason) && (
                  <span className={css.below}>{message || firstLine(reason ?? '')}</span>
                )}
              </td>
              <td className={css.what}>
                {what && <span>{firstLine(what)}</span>}
                {reason && <span>{firstLine(reason)}</span>}
                {commit && message && (
                  <span>
                    <Link to="/changes/$change" params={{ change: String(commit.changeid) }}>
                      {message}
                    </Link>
                  </span>
                )}
                {who && <span>{personName(who)}</span>}
              </td>
              {anySource && (
                <td className={css.source}>
                  {branch && <span className={css.branch}>{branch}</span>}
                  {revision && <code title={revision}>{shortRevision(revision)}</code>}
                </td>
              )}
              {showWorker && (
                <td className={css.worker}>
                  <Link to="/workers/$worker" params={{ worker: String(build.workerid) }}>
                    {workers.name(build.workerid)}
                  </Link>
                </td>
              )}
              <td className={css.when}>
                <Ago at={build.started_at} />
              </td>
              <td className={css.took}>
                <Duration from={build.started_at} to={build.complete_at} />
              </td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}
