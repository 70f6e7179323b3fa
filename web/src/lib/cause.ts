/** Why something ended as it did, in words: an addition of this master to the results. */

import type { Cause } from '../api/types'

const SIGNALS: Readonly<Record<number, string>> = { 2: 'INT', 6: 'ABRT', 9: 'KILL', 11: 'SEGV', 15: 'TERM' }

const text = (value: unknown): string => (value === undefined || value === null ? '' : String(value))
const join = (...parts: string[]): string => parts.filter((part) => part !== '').join(': ')

/** A short phrase, or nothing. A kind that is not known here is shown by its name. */
export function describeCause(cause: Cause | null | undefined): string | undefined {
  if (cause === null || cause === undefined) return undefined
  switch (cause.kind) {
    case 'infrastructure':
      return join('infrastructure', text(cause.reason))
    case 'exit_code':
      return `exit code ${text(cause.code)}`
    case 'signal': {
      const name = SIGNALS[Number(cause.signal)]
      return `ended by signal ${text(cause.signal)}${name ? ` (${name})` : ''}`
    }
    case 'timeout':
      return cause.limit === 'silence' ? 'silent for too long' : 'ran for too long'
    case 'cancelled':
      return join(`cancelled by ${text(cause.by) || 'somebody'}`, text(cause.reason))
    case 'collapsed':
      return `merged into request ${text(cause.into)}`
    case 'configuration':
      return join('configuration', text(cause.reason))
    default:
      return cause.kind.replaceAll('_', ' ')
  }
}
