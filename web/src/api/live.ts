/**
 * Live queries: a GET whose result is kept current by events.
 *
 * The order is subscribe → GET → merge: events that arrive while the GET is under way are written into a
 * journal and applied to its answer, so none falls between. While a component shows the query, its
 * events patch the cache; events are gathered for a short while, because a busy master sends hundreds a
 * second and the page need not render more often than people can see.
 */

import { hashKey, type QueryClient, type QueryKey, useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, useContext, useEffect, useRef } from 'react'
import type { ApiError } from './errors'
import type { EventSocket, LiveEvent } from './socket'

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
/** A query is fetched again because of events at most so often. */
const REFETCH_MS = 2000

/** Keeps one query of the cache current while somebody shows it. */
function startFeed<T>(client: QueryClient, socket: EventSocket, live: LiveQuery<T>): () => void {
  let gathered: LiveEvent[] = []
  let flushing: ReturnType<typeof setTimeout> | undefined
  let refetching: ReturnType<typeof setTimeout> | undefined
  const flush = () => {
    flushing = undefined
    const events = gathered
    gathered = []
    client.setQueryData<T>(live.key, (data) =>
      data === undefined ? undefined : events.reduce(live.apply, data),
    )
  }
  const refetch = () => {
    refetching = undefined
    void client.invalidateQueries({ queryKey: live.key, exact: true })
  }
  const receive = (event: LiveEvent) => {
    gathered.push(event)
    flushing ??= setTimeout(flush, GATHER_MS)
    if (refetching === undefined && live.refetchOn?.(event, client.getQueryData<T>(live.key)))
      refetching = setTimeout(refetch, REFETCH_MS)
  }
  const ends = live.topics.map((topic) => socket.subscribe(topic, receive))
  return () => {
    clearTimeout(flushing)
    clearTimeout(refetching)
    for (const end of ends) end()
  }
}

interface Feed {
  users: number
  /** Data that came later has missed nothing. */
  since: number
  stop: () => void
}
const feeds = new WeakMap<QueryClient, Map<string, Feed>>()

/** However many components show a query, it has one feed: an event must be applied once. */
function joinFeed<T>(client: QueryClient, socket: EventSocket, live: LiveQuery<T>): () => void {
  const running = feeds.get(client) ?? new Map<string, Feed>()
  feeds.set(client, running)
  const hash = hashKey(live.key)
  const feed = running.get(hash) ?? { users: 0, since: Date.now(), stop: startFeed(client, socket, live) }
  running.set(hash, feed)
  feed.users += 1
  return () => {
    feed.users -= 1
    if (feed.users > 0) return
    feed.stop()
    running.delete(hash)
  }
}

/** Whether what is in the cache is kept current: then nobody needs to ask for it again. */
function isFed(
  client: QueryClient,
  hash: string,
  query: { state: { dataUpdatedAt: number; status: string } },
) {
  const feed = feeds.get(client)?.get(hash)
  return feed !== undefined && query.state.status === 'success' && query.state.dataUpdatedAt > feed.since
}

/** `useQuery`, kept current. What a key stands for must be the same wherever the key is used. */
export function useLive<T>(live: LiveQuery<T>) {
  const socket = useSocket()
  const client = useQueryClient()
  const latest = useRef(live)
  latest.current = live
  const enabled = live.enabled ?? true
  const hash = hashKey(live.key)

  // biome-ignore lint/correctness/useExhaustiveDependencies: `hash` stands for the query
  useEffect(() => {
    if (enabled) return joinFeed(client, socket, latest.current)
  }, [socket, client, enabled, hash])

  return useQuery<T, ApiError>({
    queryKey: live.key,
    queryFn: ({ signal }) => fetchLive(socket, live, signal),
    enabled,
    staleTime: (query) =>
      live.topics.length > 0 && isFed(client, hash, query) ? Number.POSITIVE_INFINITY : (live.staleTime ?? 0),
  })
}
