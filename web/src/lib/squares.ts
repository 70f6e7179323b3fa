/** Arranges the newest builds of all builders by builder, for the page of all builders. */

import type { Build, BuildRequest } from '../api/types'

export interface BuilderActivity {
  /** Newest first, at most `keep`. */
  latest: readonly Build[]
  running: number
  pending: number
}

export const NO_ACTIVITY: BuilderActivity = { latest: [], running: 0, pending: 0 }

/** One pass over each list; `builds` newest first. */
export function activityByBuilder(
  builds: readonly Build[],
  requests: readonly BuildRequest[],
  keep: number,
): Map<number, BuilderActivity> {
  const activity = new Map<number, { latest: Build[]; running: number; pending: number }>()
  const of = (builderid: number) => {
    let one = activity.get(builderid)
    if (one === undefined) {
      one = { latest: [], running: 0, pending: 0 }
      activity.set(builderid, one)
    }
    return one
  }
  for (const build of builds) {
    const one = of(build.builderid)
    if (one.latest.length < keep) one.latest.push(build)
    if (!build.complete) one.running += 1
  }
  for (const request of requests) of(request.builderid).pending += 1
  return activity
}
