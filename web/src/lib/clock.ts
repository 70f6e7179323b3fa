/**
 * Time. Durations of things that run are "now − started_at", where `started_at` is the master's clock:
 * the difference between the two clocks is learnt from the answers' `Date` headers.
 */

import { useSyncExternalStore } from 'react'

let skewMs = 0

/** Learns from a `Date` header. It has whole seconds, so small differences mean nothing. */
export function noteServerTime(date: string | null, localNow = Date.now()): void {
  if (date === null) return
  const server = Date.parse(date)
  if (Number.isNaN(server)) return
  const seen = server + 500 - localNow
  skewMs = Math.abs(seen) > 2500 ? seen : 0
}

/** The master's time now, in seconds. */
export const serverNow = (): number => (Date.now() + skewMs) / 1000

let tick = 0
let timer: ReturnType<typeof setInterval> | undefined
const listeners = new Set<() => void>()

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  timer ??= setInterval(() => {
    tick += 1
    for (const each of listeners) each()
  }, 1000)
  return () => {
    listeners.delete(listener)
    if (listeners.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

const never = () => () => {}

/** The master's time in seconds; re-renders each second while `live`. One timer serves the whole page. */
export function useNow(live = true): number {
  useSyncExternalStore(live ? subscribe : never, () => tick)
  return serverNow()
}
