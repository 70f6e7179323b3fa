/**
 * How an event's item goes into what is already shown. Events carry complete items, but one may be older
 * than the answer of a GET that overtook it: states only move forward, so what would go back is ignored.
 */

import type { Page } from './client'
import type { Build, BuildRequest, Job, Log, Properties, Run, Step } from './types'

/** Merges two versions of the same item. */
export type Merge<T> = (old: T, next: T) => T

export const replace = <T>(_old: T, next: T): T => next

const isEmpty = (properties: Properties | null): boolean =>
  properties === null || Object.keys(properties).length === 0

/** Keeps the properties that a GET asked for: events come without. */
export const mergeBuild: Merge<Build> = (old, next) => {
  if (old.complete && !next.complete) return old
  return isEmpty(next.properties) ? { ...next, properties: old.properties } : next
}

export const mergeRequest: Merge<BuildRequest> = (old, next) => {
  if (old.complete && !next.complete) return old
  return isEmpty(next.properties) ? { ...next, properties: old.properties } : next
}

export const mergeStep: Merge<Step> = (old, next) => (old.complete && !next.complete ? old : next)

export const mergeLog: Merge<Log> = (old, next) => ({
  ...next,
  complete: old.complete || next.complete,
  num_lines: Math.max(old.num_lines, next.num_lines),
})

const RUN_STATES = ['defining', 'queued', 'running', 'stopping', 'complete']
/** A list may have asked for some of the fields only. */
export const mergeRun: Merge<Run> = (old, next) =>
  RUN_STATES.indexOf(next.state) < RUN_STATES.indexOf(old.state) ? old : { ...old, ...next }

const JOB_STATES = ['waiting', 'awaiting_approval', 'queued', 'running']
/** A job that is tried again goes back to the queue, with one attempt more. */
export const mergeJob: Merge<Job> = (old, next) => {
  const rank = ({ state, complete }: Job) => (complete ? JOB_STATES.length : JOB_STATES.indexOf(state))
  if (old.complete && !next.complete) return old
  const back = next.attempts < old.attempts || (next.attempts === old.attempts && rank(next) < rank(old))
  return back ? old : next
}

/** What a live list holds and in which order. */
export interface ListRules<T> {
  id: (item: T) => number | string
  merge?: Merge<T>
  /** Whether the item belongs into the list at all; one that no longer does is taken out. */
  keep?: (item: T) => boolean
  /** Order, as asked of the server. Without it new items go to the end. */
  compare?: (a: T, b: T) => number
  /** At most so many items, as asked of the server. */
  limit?: number
  /** False on later pages of a collection, which must not grow at the top. Default true. */
  insert?: boolean
  /**
   * Event names after which the item counts as an additional one. Default: any event about an unknown
   * item; right for lists that hold everything they match.
   */
  counts?: (eventName: string) => boolean
}

/** Puts one item into a page of a collection, or takes it out. Returns the same page if nothing changes. */
export function upsert<T>(page: Page<T>, item: T, eventName: string, rules: ListRules<T>): Page<T> {
  const { id, merge = replace, keep = () => true, compare, limit = Number.POSITIVE_INFINITY } = rules
  const at = page.items.findIndex((each) => id(each) === id(item))
  const old = page.items[at]
  if (old !== undefined) {
    const next = merge(old, item)
    if (next === old) return page
    if (!keep(next)) return { items: page.items.toSpliced(at, 1), total: Math.max(0, page.total - 1) }
    const items = page.items.with(at, next)
    return { items: compare ? items.sort(compare) : items, total: page.total }
  }
  if (!keep(item) || rules.insert === false) return page
  const counted = rules.counts?.(eventName) ?? true
  const items = [...page.items, item]
  if (compare) items.sort(compare)
  if (items.length > limit) items.length = limit
  const total = page.total + (counted ? 1 : 0)
  if (total === page.total && !items.includes(item)) return page
  return { items, total: Math.max(total, items.length) }
}
