/** What the last builds of a builder say together. */

import type { Build } from '../api/types'
import { counted, formatDuration } from './format'
import { buildStatus, isBad, type Status, statusWord } from './results'

/** Results that say whether the code is good; the others say something of machines and people. */
const COUNTS: readonly Status[] = ['success', 'warnings', 'failure', 'exception']

export interface Trend {
  /** "8 of 10 succeeded". */
  share: string | undefined
  /** "usually 2:05": the median of builds that succeeded. */
  usual: number | undefined
  /** "failing since #12". */
  streak: string | undefined
  bad: boolean
}

/** `builds` newest first. */
export function trendOf(builds: readonly Build[]): Trend {
  const ended = builds.filter((build) => COUNTS.includes(buildStatus(build)))
  const good = ended.filter((build) => !isBad(buildStatus(build)))
  const newest = ended[0]
  if (newest === undefined) return { share: undefined, usual: undefined, streak: undefined, bad: false }
  const bad = isBad(buildStatus(newest))
  const change = ended.findIndex((build) => isBad(buildStatus(build)) !== bad)
  const same = change === -1 ? ended.length : change
  const since = ended[same - 1]
  return {
    share: `${good.length} of ${counted(ended.length, 'build')} succeeded`,
    usual: median(good.map(took)),
    // How a row of good builds began is of little use, that it is long, is.
    streak: bad
      ? `failing since #${since?.number}${same > 1 ? ` (${counted(same, 'build')})` : ''}`
      : same > 1
        ? `the last ${same} are good`
        : undefined,
    bad,
  }
}

export const took = (build: Build): number =>
  build.complete_at === null ? 0 : Math.max(0, build.complete_at - build.started_at)

function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)]
}

/** What a bar stands for, in words. */
export function barLabel(build: Build): string {
  const status = buildStatus(build)
  return `#${build.number}: ${statusWord(status)}${build.complete ? ` after ${formatDuration(took(build))}` : ''}`
}
