/** What a result or state is called and how it looks. One place, so that every page says the same. */

import type { Build, BuildRequest, Result, Step } from '../api/types'

export type Status =
  | 'success'
  | 'warnings'
  | 'failure'
  | 'skipped'
  | 'exception'
  | 'retry'
  | 'cancelled'
  | 'running'
  | 'pending'
  | 'unknown'

const BY_CODE: readonly Status[] = [
  'success',
  'warnings',
  'failure',
  'skipped',
  'exception',
  'retry',
  'cancelled',
]

const WORDS: Readonly<Record<Status, string>> = {
  success: 'Succeeded',
  warnings: 'Warnings',
  failure: 'Failed',
  skipped: 'Skipped',
  exception: 'Exception',
  retry: 'Retried',
  cancelled: 'Cancelled',
  running: 'Running',
  pending: 'Pending',
  unknown: 'Unknown',
}

/** Plain characters for page titles, where no icon can be. */
const GLYPHS: Readonly<Record<Status, string>> = {
  success: '✓',
  warnings: '!',
  failure: '✗',
  skipped: '»',
  exception: '⚡',
  retry: '↻',
  cancelled: '⊘',
  running: '▶',
  pending: '…',
  unknown: '?',
}

export const statusOfResult = (result: Result | -1 | null): Status =>
  result === null || result < 0 ? 'unknown' : (BY_CODE[result] ?? 'unknown')

export const buildStatus = (build: Pick<Build, 'complete' | 'results'>): Status =>
  build.complete ? statusOfResult(build.results) : 'running'

export function stepStatus(step: Pick<Step, 'complete' | 'results' | 'started_at'>): Status {
  if (step.complete) return statusOfResult(step.results)
  return step.started_at === null ? 'pending' : 'running'
}

export function requestStatus(request: Pick<BuildRequest, 'complete' | 'results' | 'claimed'>): Status {
  if (request.complete) return statusOfResult(request.results)
  return request.claimed ? 'running' : 'pending'
}

export const statusWord = (status: Status): string => WORDS[status]
export const statusGlyph = (status: Status): string => GLYPHS[status]

/** Results that somebody has to look at. */
export const isBad = (status: Status): boolean => status === 'failure' || status === 'exception'
