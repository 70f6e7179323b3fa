import type { Build } from '../api/types'
import { formatDate, formatDuration } from '../lib/format'
import { buildStatus, statusWord } from '../lib/results'
import css from './Squares.module.css'
import { StatusMark } from './Status'

/** The last builds of one builder, oldest left. Trouble is solid, success is quiet, each has its sign. */
export function Squares({ builds, name }: { builds: readonly Build[]; name: string }) {
  return (
    <ol className={css.squares} aria-label={`Last builds of ${name}, newest last`}>
      {builds.toReversed().map((build) => {
        const status = buildStatus(build)
        const took =
          build.complete_at === null ? '' : ` after ${formatDuration(build.complete_at - build.started_at)}`
        const label = `#${build.number}: ${statusWord(status)}${took}`
        return (
          <li key={build.buildid}>
            <a
              // A plain link, of which there may be hundreds: the router's own are dear to render.
              href={`#/builders/${build.builderid}/builds/${build.number}`}
              className={css.square}
              data-status={status}
              aria-label={label}
              title={`${label}\n${build.state_string}\nstarted ${formatDate(build.started_at)}`}
            >
              <StatusMark status={status} />
            </a>
          </li>
        )
      })}
    </ol>
  )
}
