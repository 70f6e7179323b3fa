/**
 * Live queries: a GET whose result is kept current by events.
 *
 * The order is subscribe → GET → merge: events that arrive while the GET is under way are written into a
 * journal and applied to its answer, so none falls between. While a component shows the query, its
 * events patch the cache; events are gathered for a short while, because a busy master sends hundreds a
 * second and the page need not render more often than people can see.
 */

import { type QueryKey, useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, useContext, useEffect, useRef } from 'react'
import type { ApiError } from './errors'
import { type EventSocket, type LiveEvent, topicMatches } from './socket'

export interface LiveQuery<T> {
  key: QueryKey
  /** Topic patterns that concern the data. */
  topics: readonly string[]
  fetch: (signal: AbortSignal) => Promise<T>
  /** Applies one event; returns the same object if it changes nothing. */
  apply: (data: T, event: LiveEvent) => T
  /** Events after which it is fetched again (soon, and at most every few seconds) since they say too little. */
  refetchOn?: (event: LiveEvent, data: T | undefined) => boolean
  enabled?: boolean
  /** How long an unobserved result counts as fresh, in milliseconds. Default 0. */
  staleTime?: number
}

export const SocketContext = createContext<EventSocket | undefined>(undefined)

export function useSocket(): EventSocket {
  const socket = useContext(SocketContext)
  if (socket === undefined) throw new Error('SocketContext is missing')
  return socket
}

/** Fetches with the events of the meantime applied. */
export async function fetchLive<T>(
  socket: EventSocket,
  live: Pick<LiveQuery<T>, 'topics' | 'fetch' | 'apply'>,
  signal: AbortSignal,
): Promise<T> {
  const journal: LiveEvent[] = []
  const ends = live.topics.map((topic) => socket.subscribe(topic, (event) => journal.push(event)))
  try {
    await Promise.all(live.topics.map((topic) => socket.settled(topic)))
    const data = await live.fetch(signal)
    return journal.reduce(live.apply, data)
  } finally {
    for (const end of ends) end()
  }
}

/** Events are applied together, this long after the first. */
const GATHER_MS = 100
const REFETCH_EVERY_MS = 3000

/** `useQuery`, kept current. */
export function useLive<T>(live: LiveQuery<T>) {
  const socket = useSocket()
  const client = useQueryClient()
  // The newest functions, without subscribing anew on each render.
  const latest = useRef(live)
  latest.current = live
  const enabled = live.enabled ?? true
  const topics = live.topics.join(' ')
  const hash = JSON.stringify(live.key)

  // biome-ignore lint/correctness/useExhaustiveDependencies: `hash` and `topics` stand for the key and the list
  useEffect(() => {
    if (!enabled || topics === '') return
    let gathered: LiveEvent[] = []
    let timer: ReturnType<typeof setTimeout> | undefined
    let refetch: ReturnType<typeof setTimeout> | undefined
    const key = latest.current.key
    const flush = () => {
      timer = undefined
      const events = gathered
      gathered = []
      client.setQueryData<T>(key, (data) =>
        data === undefined ? undefined : events.reduce(latest.current.apply, data),
      )
    }
    const receive = (event: LiveEvent) => {
      gathered.push(event)
      timer ??= setTimeout(flush, GATHER_MS)
      if (refetch === undefined && latest.current.refetchOn?.(event, client.getQueryData<T>(key))) {
        refetch = setTimeout(() => {
          refetch = undefined
          void client.invalidateQueries({ queryKey: key, exact: true })
        }, REFETCH_EVERY_MS / 2)
      }
    }
    const ends = topics.split(' ').map((topic) => socket.subscribe(topic, receive))
    return () => {
      clearTimeout(timer)
      clearTimeout(refetch)
      for (const end of ends) end()
    }
  }, [socket, client, enabled, topics, hash])

  return useQuery<T, ApiError>({
    queryKey: live.key,
    queryFn: ({ signal }) => fetchLive(socket, live, signal),
    enabled,
    staleTime: live.staleTime ?? 0,
  })
}

/** True if the event belongs to the pattern; for `apply` of queries with several topics. */
export const isTopic = (event: LiveEvent, pattern: string): boolean =>
  topicMatches(pattern.split('/'), event.key)
