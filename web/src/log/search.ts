/** Search over a whole log, by ranges, with progress; the log never has to fit into memory. */

import { CUT } from '../api/loglines'
import type { LogType } from '../api/types'
import { plainText } from './line'
import type { FetchLines } from './store'

export interface Pattern {
  text: string
  caseSensitive: boolean
  regex: boolean
}

/** Finds all places in a text. */
export type Matcher = (text: string) => [start: number, end: number][]

/** More matching lines than this are not collected; nobody steps through them. */
export const MAX_MATCHES = 20_000
/** Lines per request; larger than the view's, because nothing is drawn. */
export const SEARCH_CHUNK = 10_000

/** Throws a `SyntaxError` for a malformed regular expression. */
export function makeMatcher({ text, caseSensitive, regex }: Pattern): Matcher {
  const source = regex ? text : text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const expression = new RegExp(source, caseSensitive ? 'gu' : 'giu')
  return (line) => {
    const found: [number, number][] = []
    for (const match of line.matchAll(expression)) {
      // An expression may match nothing (`x*`); such places cannot be shown.
      if (match[0] !== '') found.push([match.index, match.index + match[0].length])
    }
    return found
  }
}

export interface Progress {
  scanned: number
  total: number
  /** Line numbers, ascending. */
  matches: readonly number[]
  /** Lines so long that only their beginnings were searched. */
  giants: number
  /** The first match at or after the start, once known. */
  first: number | undefined
  state: 'scanning' | 'done' | 'full'
}

/**
 * Scans from `start` to the end and then from the beginning to `start`, so that the nearest match after
 * what is on screen is found first. Reports after every range.
 */
export async function scan(options: {
  fetch: FetchLines
  type: LogType
  total: number
  start: number
  matcher: Matcher
  signal: AbortSignal
  report: (progress: Progress) => void
}): Promise<void> {
  const { fetch, type, total, matcher, signal, report } = options
  const start = Math.max(0, Math.min(options.start, total))
  let before: number[] = []
  let after: number[] = []
  let scanned = 0
  let giants = 0
  const found = () => [...before, ...after]
  const state = () =>
    before.length + after.length >= MAX_MATCHES ? 'full' : scanned >= total ? 'done' : 'scanning'
  const tell = () =>
    report({ scanned, total, matches: found(), giants, first: after[0] ?? before[0], state: state() })

  tell()
  for (const [from, to] of [
    [start, total],
    [0, start],
  ] as const) {
    for (let at = from; at < to; at += SEARCH_CHUNK) {
      const count = Math.min(SEARCH_CHUNK, to - at)
      const lines = await fetch(at, count, signal)
      signal.throwIfAborted()
      const hits: number[] = []
      lines.forEach((raw, i) => {
        if (raw.endsWith(CUT)) giants += 1
        if (matcher(plainText(raw, type)).length > 0) hits.push(at + i)
      })
      const room = MAX_MATCHES - before.length - after.length
      if (at >= start) after = after.concat(hits.slice(0, room))
      else before = before.concat(hits.slice(0, room))
      scanned += count
      tell()
      if (state() !== 'scanning') return
    }
  }
}

/** The match to go to from line `from`: the next or the previous one, around the ends. */
export function step(matches: readonly number[], from: number, way: 1 | -1): number | undefined {
  if (matches.length === 0) return undefined
  if (way === 1) return matches.find((line) => line > from) ?? matches[0]
  return matches.findLast((line) => line < from) ?? matches.at(-1)
}
