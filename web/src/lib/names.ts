/** Names of builders and workers by id, from the shared lists. */

import { useLive } from '../api/live'
import { allBuilders, allWorkers } from '../api/queries'
import type { Builder, Worker } from '../api/types'

const indexes = new WeakMap<object, ReadonlyMap<number, unknown>>()

/** The index is made once per list, however many components ask. */
function indexOf<T extends object>(items: readonly T[] | undefined, id: (item: T) => number) {
  if (items === undefined) return undefined
  let index = indexes.get(items) as ReadonlyMap<number, T> | undefined
  if (index === undefined) {
    index = new Map(items.map((item) => [id(item), item]))
    indexes.set(items, index)
  }
  return index
}

export function useBuilders() {
  const query = useLive(allBuilders())
  const byId = indexOf<Builder>(query.data?.items, (b) => b.builderid)
  return { query, byId, name: (id: number) => byId?.get(id)?.name ?? `builder ${id}` }
}

export function useWorkers() {
  const query = useLive(allWorkers())
  const byId = indexOf<Worker>(query.data?.items, (w) => w.workerid)
  return { query, byId, name: (id: number) => byId?.get(id)?.name ?? `worker ${id}` }
}
