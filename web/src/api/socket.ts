/**
 * The event socket: one WebSocket for the whole page.
 *
 * Subscriptions are topic patterns with a count of users; the last one to leave ends the subscription
 * after a moment, so that going from page to page does not churn. When the connection is lost it is
 * made again with growing, jittered pauses; then everything is subscribed again *before* `onResume`
 * tells the page to fetch what it shows, so that nothing can be missed in between.
 */

export interface LiveEvent<M = unknown> {
  /** The topic, split at `/`. */
  key: readonly string[]
  /** The last element of the topic: `new`, `update`, `finished` … */
  name: string
  /** The full item, as REST would answer it. */
  item: M
}

export type Handler = (event: LiveEvent) => void

export type Connection =
  | { phase: 'connecting'; attempt: number }
  | { phase: 'open' }
  /** Waiting before the next attempt, which starts at `retryAt` (local milliseconds). */
  | { phase: 'waiting'; attempt: number; retryAt: number }

/** What of `WebSocket` is used; tests bring their own. */
export interface SocketLike {
  onopen: (() => void) | null
  onclose: (() => void) | null
  onmessage: ((message: { data: unknown }) => void) | null
  send(text: string): void
  close(): void
}

interface Topic {
  handlers: Set<Handler>
  elements: readonly string[]
  /** The server has said OK on the present connection. */
  confirmed: boolean
  linger: ReturnType<typeof setTimeout> | undefined
}

interface Waiting {
  resolve: () => void
  topic: string | undefined
}

const LINGER_MS = 3000
const PING_EVERY_MS = 25_000
/** A connection that says nothing for so long after a ping is dead, even if the network has not said so. */
const PONG_WITHIN_MS = 10_000
const SUBSCRIBE_WITHIN_MS = 4000

/** The pause before attempt `attempt` (from 1): doubling to half a minute, of which a random half is kept. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(30_000, 500 * 2 ** Math.min(attempt - 1, 10))
  return Math.round(full * (0.5 + random() / 2))
}

/** `*` stands for exactly one element; there is no match over several. */
export function topicMatches(pattern: readonly string[], key: readonly string[]): boolean {
  return pattern.length === key.length && pattern.every((p, i) => p === '*' || p === key[i])
}

export class EventSocket {
  #open: () => SocketLike
  #socket: SocketLike | undefined
  #topics = new Map<string, Topic>()
  #replies = new Map<number, Waiting>()
  #nextId = 1
  #attempt = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #heartbeat: ReturnType<typeof setTimeout> | undefined
  #connection: Connection = { phase: 'connecting', attempt: 0 }
  #watchers = new Set<() => void>()
  #resumers = new Set<() => void>()
  #settlers = new Set<() => void>()
  #everOpen = false

  constructor(open: () => SocketLike) {
    this.#open = open
  }

  /** Starts to connect. Until then subscriptions are only remembered. */
  start(): void {
    if (this.#socket === undefined && this.#timer === undefined) this.#connect()
  }

  /** The present state; the same object until it changes. */
  readonly connection = (): Connection => this.#connection

  /** Tells of changes of `connection()`. */
  readonly watch = (watcher: () => void): (() => void) => {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /** Called when a lost connection is back and all topics are subscribed again. */
  onResume(resumer: () => void): () => void {
    this.#resumers.add(resumer)
    return () => this.#resumers.delete(resumer)
  }

  /** Listens to a topic pattern in which a star stands for one element. */
  subscribe(pattern: string, handler: Handler): () => void {
    let topic = this.#topics.get(pattern)
    if (topic === undefined) {
      topic = { handlers: new Set(), elements: pattern.split('/'), confirmed: false, linger: undefined }
      this.#topics.set(pattern, topic)
      if (this.#connection.phase === 'open') this.#consume(pattern)
    }
    clearTimeout(topic.linger)
    topic.linger = undefined
    // A handler may be given twice, by two users; each has its own subscription.
    const own: Handler = (event) => handler(event)
    topic.handlers.add(own)
    const subscribed = topic
    return () => {
      if (!subscribed.handlers.delete(own) || subscribed.handlers.size > 0) return
      subscribed.linger = setTimeout(() => this.#drop(pattern), LINGER_MS)
    }
  }

  /**
   * Resolves once the server has confirmed the topic. Also when there is no connection, or no answer
   * soon: reading must work without events, and what is read then is read again on `onResume`.
   */
  async settled(pattern: string): Promise<void> {
    if (this.#topics.get(pattern)?.confirmed) return
    if (this.#connection.phase === 'waiting') return
    await new Promise<void>((resolve) => {
      const finish = () => {
        clearTimeout(limit)
        this.#settlers.delete(check)
        resolve()
      }
      const check = () => {
        if (this.#connection.phase === 'waiting' || this.#topics.get(pattern)?.confirmed !== false) finish()
      }
      const limit = setTimeout(finish, SUBSCRIBE_WITHIN_MS)
      this.#settlers.add(check)
    })
  }

  /** Tries at once instead of waiting; for the button, and for the browser's `online` event. */
  readonly retryNow = (): void => {
    if (this.#connection.phase !== 'waiting') return
    clearTimeout(this.#timer)
    this.#connect()
  }

  /** Ends the connection and all timers. */
  stop(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#heartbeat)
    for (const topic of this.#topics.values()) clearTimeout(topic.linger)
    const socket = this.#socket
    this.#socket = undefined
    if (socket !== undefined) {
      socket.onclose = null
      socket.close()
    }
  }

  #become(connection: Connection): void {
    this.#connection = connection
    for (const watcher of this.#watchers) watcher()
    this.#settle()
  }

  #settle(): void {
    for (const check of [...this.#settlers]) check()
  }

  #connect(): void {
    this.#timer = undefined
    this.#attempt += 1
    this.#become({ phase: 'connecting', attempt: this.#attempt })
    let socket: SocketLike
    try {
      socket = this.#open()
    } catch {
      this.#lost()
      return
    }
    this.#socket = socket
    socket.onopen = () => this.#opened(socket)
    socket.onclose = () => {
      if (this.#socket === socket) this.#lost()
    }
    socket.onmessage = (message) => {
      if (this.#socket === socket) this.#received(message.data)
    }
  }

  #opened(socket: SocketLike): void {
    if (this.#socket !== socket) return
    const resumed = this.#everOpen || this.#attempt > 1
    this.#everOpen = true
    this.#become({ phase: 'open' })
    const confirmations = [...this.#topics.keys()].map((pattern) => this.#consume(pattern))
    // An answer to a ping proves that the way is open in both directions; only then the pauses start anew.
    confirmations.push(this.#request({ cmd: 'ping' }))
    void Promise.all(confirmations).then(() => {
      if (this.#socket !== socket) return
      this.#attempt = 0
      if (resumed) for (const resumer of this.#resumers) resumer()
    })
    this.#beat()
  }

  #lost(): void {
    clearTimeout(this.#heartbeat)
    this.#socket = undefined
    this.#replies.clear()
    for (const topic of this.#topics.values()) topic.confirmed = false
    const pause = backoff(Math.max(1, this.#attempt))
    this.#timer = setTimeout(() => this.#connect(), pause)
    this.#become({ phase: 'waiting', attempt: this.#attempt, retryAt: Date.now() + pause })
  }

  #beat(): void {
    clearTimeout(this.#heartbeat)
    this.#heartbeat = setTimeout(() => {
      // Set before asking: the answer starts the next beat and clears this.
      this.#heartbeat = setTimeout(() => {
        const socket = this.#socket
        if (socket === undefined) return
        socket.onclose = null
        socket.close()
        this.#lost()
      }, PONG_WITHIN_MS)
      void this.#request({ cmd: 'ping' })
    }, PING_EVERY_MS)
  }

  #consume(pattern: string): Promise<void> {
    return this.#request({ cmd: 'startConsuming', path: pattern }, pattern)
  }

  #drop(pattern: string): void {
    this.#topics.delete(pattern)
    if (this.#connection.phase === 'open') void this.#request({ cmd: 'stopConsuming', path: pattern })
    this.#settle()
  }

  #request(command: { cmd: string; path?: string }, topic?: string): Promise<void> {
    const id = this.#nextId
    this.#nextId += 1
    return new Promise((resolve) => {
      this.#replies.set(id, { resolve, topic })
      this.#socket?.send(JSON.stringify({ ...command, _id: id }))
    })
  }

  #received(data: unknown): void {
    this.#beat()
    const frame = parseFrame(data)
    if (frame === undefined) return
    // Replies have a `code`, events have none.
    if ('code' in frame) {
      const waiting = this.#replies.get(Number(frame._id))
      this.#replies.delete(Number(frame._id))
      const topic = waiting?.topic === undefined ? undefined : this.#topics.get(waiting.topic)
      // A refused topic counts as settled too: the page works, only without live updates for it.
      if (topic !== undefined) topic.confirmed = true
      waiting?.resolve()
      this.#settle()
      return
    }
    if (typeof frame.k !== 'string') return
    const key = frame.k.split('/')
    const event: LiveEvent = { key, name: key.at(-1) ?? '', item: frame.m }
    for (const topic of this.#topics.values()) {
      if (topicMatches(topic.elements, key)) for (const handler of [...topic.handlers]) handler(event)
    }
  }
}

/** A frame that is not a JSON object is ignored: a newer server may send more than we know. */
function parseFrame(data: unknown): Record<string, unknown> | undefined {
  if (typeof data !== 'string') return undefined
  try {
    const frame: unknown = JSON.parse(data)
    return frame !== null && typeof frame === 'object' ? (frame as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
