/** The state of a worker in words. */

import type { Json, Worker } from '../api/types'
import { formatDuration } from './format'
import type { Status } from './results'

const NEVER = 'Never connected'

function neverConnected(worker: Worker): boolean {
  return Object.keys(worker.workerinfo).length === 0
}

/** What happened when it was last there, to be read before "3 minutes ago"; for one that is away. */
export function lastThere(worker: Worker): { what: string; at: number } | undefined {
  if (worker.disconnected_at == null) return undefined
  const at = worker.disconnected_at
  if (!neverConnected(worker)) return { what: 'last connected', at }
  // Nobody has waited for it for longer than that.
  return { what: workerState(worker).word === NEVER ? 'configured' : 'never connected, configured', at }
}

export function workerState(worker: Worker): { status: Status; word: string } {
  if (worker.connected_to.length === 0) {
    if (worker.missing) return { status: 'failure', word: 'Missing' }
    if (worker.paused) return { status: 'cancelled', word: 'Away, paused' }
    if (neverConnected(worker)) return { status: 'unknown', word: NEVER }
    return { status: 'unknown', word: worker.graceful ? 'Stopped' : 'Away' }
  }
  if (worker.killed) return { status: 'pending', word: 'Ending' }
  if (worker.graceful) return { status: 'pending', word: 'Shutting down' }
  if (worker.paused) return { status: 'cancelled', word: 'Paused' }
  return { status: 'success', word: 'Connected' }
}

/** How many builds it takes at once, if the server says so. */
export function slots(worker: Worker): number | undefined {
  const value = worker.slots ?? worker.workerinfo.slots ?? worker.workerinfo.max_builds
  return typeof value === 'number' ? value : undefined
}

/** Clocks that differ by more, in milliseconds, are worth a word. */
const SKEW_MAX = 5000

/** How far its clock is off, in words, if that is worth one. */
export function clockSkew(worker: Worker): string | undefined {
  const skew = worker.facts?.clock_skew_ms
  if (typeof skew !== 'number' || Math.abs(skew) <= SKEW_MAX) return undefined
  return `${formatDuration(Math.abs(skew) / 1000)} ${skew > 0 ? 'ahead' : 'behind'}`
}

const FIRST = [
  'host',
  'hostname',
  'os',
  'os_version',
  'arch',
  'cpus',
  'memory_bytes',
  'admin',
  'protocol',
  'version',
  'access_uri',
]

/** What the worker tells about itself, known things first, blanks left out. */
export function workerInfo(worker: Worker): [string, string][] {
  const text = (value: Json): string =>
    value === null ? '' : typeof value === 'string' ? value.trim() : JSON.stringify(value)
  const shown = (name: string, value: Json): string =>
    name === 'memory_bytes' && typeof value === 'number' ? `${(value / 2 ** 30).toFixed(1)} GiB` : text(value)
  const { clock_skew_ms: _, ...known } = worker.facts ?? {}
  const info = { ...known, ...worker.workerinfo }
  return Object.entries(info)
    .map(([name, value]): [string, string] => [name, shown(name, value)])
    .filter(([name, value]) => value !== '' && !(name === 'hostname' && value === text(info.host ?? null)))
    .sort(([a], [b]) => order(a) - order(b) || (a < b ? -1 : 1))
}
const order = (name: string): number => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length)

/** One line about the machine, for lists. */
export function machine(worker: Worker): string {
  const known = new Map(workerInfo(worker))
  const cpus = known.get('cpus')
  return [
    known.get('host'),
    known.get('os_version') ?? known.get('os'),
    cpus && `${cpus} CPUs`,
    [known.get('protocol'), known.get('version')].filter(Boolean).join(' '),
  ]
    .filter(Boolean)
    .join(' · ')
}
