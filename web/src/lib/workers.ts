/** The state of a worker in words. */

import type { Json, Worker } from '../api/types'
import type { Status } from './results'

export function workerState(worker: Worker): { status: Status; word: string } {
  if (worker.connected_to.length === 0)
    return worker.paused
      ? { status: 'cancelled', word: 'Away, paused' }
      : { status: 'unknown', word: Object.keys(worker.workerinfo).length === 0 ? 'Never connected' : 'Away' }
  if (worker.graceful) return { status: 'pending', word: 'Shutting down' }
  if (worker.paused) return { status: 'cancelled', word: 'Paused' }
  return { status: 'success', word: 'Connected' }
}

/** How many builds it takes at once, if the server says so. */
export function slots(worker: Worker): number | undefined {
  const value = worker.workerinfo.slots ?? worker.workerinfo.max_builds
  return typeof value === 'number' ? value : undefined
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
  'version',
  'access_uri',
]

/** What the worker tells about itself, known things first, blanks left out. */
export function workerInfo(worker: Worker): [string, string][] {
  const text = (value: Json): string =>
    value === null ? '' : typeof value === 'string' ? value.trim() : JSON.stringify(value)
  const shown = (name: string, value: Json): string =>
    name === 'memory_bytes' && typeof value === 'number' ? `${(value / 2 ** 30).toFixed(1)} GiB` : text(value)
  const info = { ...worker.facts, ...worker.workerinfo }
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
    known.get('version'),
  ]
    .filter(Boolean)
    .join(' · ')
}
