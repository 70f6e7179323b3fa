import type { Build } from '../api/types'
import { formatDuration } from '../lib/format'
import { buildStatus } from '../lib/results'
import { barLabel, took, trendOf } from '../lib/trend'
import css from './Trend.module.css'

/** More bars than that say no more. */
const MOST = 50

/** The last builds of a builder as bars, as high as they took, oldest left; and what they say in words. */
export function Trend({ builds }: { builds: readonly Build[] }) {
  const shown = builds.slice(0, MOST)
  const { share, usual, streak, bad } = trendOf(shown)
  if (share === undefined) return null
  const longest = Math.max(1, ...shown.map(took))
  return (
    <div className={css.trend}>
      <p className={css.words}>
        {streak && (
          <strong data-status={bad ? 'failure' : 'success'} className={css.streak}>
            {streak}
          </strong>
        )}
        <span>{share}</span>
        {usual !== undefined && <span>usually {usual < 1 ? '< 1 s' : formatDuration(usual)}</span>}
      </p>
      {/* The table below has the same links, with names; these are for the mouse. */}
      <ol className={css.bars} aria-hidden="true">
        {shown.toReversed().map((build) => (
          <li key={build.buildid}>
            <a
              href={`#/builders/${build.builderid}/builds/${build.number}`}
              tabIndex={-1}
              title={barLabel(build)}
              data-status={buildStatus(build)}
            >
              <span
                style={{ height: `${build.complete ? Math.max(8, (took(build) / longest) * 100) : 100}%` }}
              />
            </a>
          </li>
        ))}
      </ol>
    </div>
  )
}
