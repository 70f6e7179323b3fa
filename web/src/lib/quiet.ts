/** The last builds of several builders, in as few requests as possible. */

import type { Build } from '../api/types'

export type FetchBuilds = (
  builderids: readonly number[],
  limit: number,
  signal: AbortSignal,
) => Promise<readonly Build[]>

/**
 * Asks for all builders at once. A lively one among them may fill the answer; then those that did not
 * occur are asked for again, which ends because each full answer settles at least one builder.
 */
export async function quietBuilds(
  builderids: readonly number[],
  each: number,
  fetch: FetchBuilds,
  signal: AbortSignal,
): Promise<Map<number, readonly Build[]>> {
  const found = new Map<number, Build[]>(builderids.map((id) => [id, []]))
  let missing = builderids
  while (missing.length > 0) {
    const limit = missing.length * each
    const builds = await fetch(missing, limit, signal)
    for (const build of builds) {
      const own = found.get(build.builderid)
      if (own !== undefined && own.length < each) own.push(build)
    }
    if (builds.length < limit) break
    const before = missing.length
    missing = missing.filter((id) => found.get(id)?.length === 0)
    if (missing.length === before) break
  }
  return found
}
