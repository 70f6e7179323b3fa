/** What a build is about, in people's words: the commit of its revision. */

import { useLive } from '../api/live'
import { recentChanges } from '../api/queries'
import type { Change } from '../api/types'

/** What is shown of a commit. */
export type Commit = Pick<Change, 'changeid' | 'comments' | 'author'>

const indexes = new WeakMap<object, ReadonlyMap<string, Commit>>()

/** Among the newest changes; one request, whoever asks. */
export function useCommits(): (revision: string | undefined) => Commit | undefined {
  const items = useLive(recentChanges()).data?.items
  if (items === undefined) return () => undefined
  let index = indexes.get(items)
  if (index === undefined) {
    // Newest first: of several with one revision the newest counts.
    const made = new Map<string, Commit>()
    for (const change of items)
      if (change.revision && !made.has(change.revision)) made.set(change.revision, change)
    indexes.set(items, made)
    index = made
  }
  const known = index
  return (revision) => (revision === undefined ? undefined : known.get(revision))
}
