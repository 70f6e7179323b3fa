/**
 * The lines of one log that are in memory: chunks around what is looked at, fetched by range.
 *
 * The view says what it wants; the store fetches what is missing, gives up requests for what has been
 * scrolled past, and forgets what is far away, so that memory is bounded however long the log is.
 */

import { isAbort } from '../api/errors'

/** Lines per request. */
export const CHUNK_LINES = 500
/** So many chunks stay in memory. */
const KEEP_CHUNKS = 40
const CONCURRENT = 3
/** Fetched beyond what is rendered, so that ordinary scrolling does not see the seams. */
const AHEAD_LINES = 250
/** A jump waits so long before it is fetched: while the thumb is dragged, nobody reads. */
const JUMP_REST_MS = 60
/** The server announced lines that it did not deliver yet. */
const SHORT_RETRY_MS = 700
const SHORT_RETRIES = 8

export type FetchLines = (first: number, count: number, signal: AbortSignal) => Promise<string[]>

interface Chunk {
  lines: readonly string[]
  request: AbortController | undefined
  error: unknown
  /** How often in a row the server has delivered less than it announced. */
  short: number
  /** Not asked again before something happens: a timer, growth, or a retry by hand. */
  resting: boolean
}

export class LogStore {
  #fetch: FetchLines
  #chunks = new Map<number, Chunk>()
  #count = 0
  #wanted = { first: 0, end: 0 }
  #listeners = new Set<() => void>()
  #version = 0
  #rest: ReturnType<typeof setTimeout> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #closed = false

  constructor(fetch: FetchLines) {
    this.#fetch = fetch
  }

  /** For `useSyncExternalStore`. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  readonly version = (): number => this.#version

  get count(): number {
    return this.#count
  }

  /** A line, with its stream letter if the log has them; undefined while it is not in memory. */
  line(index: number): string | undefined {
    return this.#chunks.get(Math.floor(index / CHUNK_LINES))?.lines[index % CHUNK_LINES]
  }

  /** The first failure among the wanted chunks. */
  failure(): { first: number; end: number; error: unknown } | undefined {
    for (const index of this.#wantedChunks(0)) {
      const error = this.#chunks.get(index)?.error
      if (error !== undefined) {
        const first = index * CHUNK_LINES
        return { first, end: Math.min(first + CHUNK_LINES, this.#count), error }
      }
    }
    return undefined
  }

  /** The log has grown. It never shrinks. */
  grow(count: number): void {
    if (count <= this.#count) return
    this.#count = count
    const tail = this.#chunks.get(Math.floor((count - 1) / CHUNK_LINES))
    if (tail !== undefined) tail.resting = false
    this.#pump()
    this.#changed()
  }

  /** The half-open range of lines that is looked at. */
  want(first: number, end: number): void {
    const jump = end <= this.#wanted.first || first >= this.#wanted.end
    const firstTime = this.#wanted.end === 0
    this.#wanted = { first, end }
    clearTimeout(this.#rest)
    this.#rest = undefined
    if (jump && !firstTime) this.#rest = setTimeout(() => this.#pump(), JUMP_REST_MS)
    else this.#pump()
  }

  /** Tries failed chunks again. */
  retry(): void {
    for (const chunk of this.#chunks.values()) {
      chunk.error = undefined
      chunk.short = 0
      chunk.resting = false
    }
    this.#pump()
    this.#changed()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#rest)
    clearTimeout(this.#retry)
    for (const chunk of this.#chunks.values()) chunk.request?.abort()
    this.#chunks.clear()
  }

  /** Makes a closed store usable again; React's strict mode runs effects twice. */
  open(): void {
    this.#closed = false
    this.#pump()
  }

  #wantedChunks(ahead: number): number[] {
    const first = Math.max(0, this.#wanted.first - ahead)
    const end = Math.min(this.#count, this.#wanted.end + ahead)
    const chunks: number[] = []
    for (let i = Math.floor(first / CHUNK_LINES); i * CHUNK_LINES < end; i++) chunks.push(i)
    // What is on screen comes first.
    const middle = (this.#wanted.first + this.#wanted.end) / 2
    const distance = (i: number) => Math.abs((i + 0.5) * CHUNK_LINES - middle)
    return chunks.sort((a, b) => distance(a) - distance(b))
  }

  #pump(): void {
    if (this.#closed || this.#wanted.end === 0) return
    const wanted = this.#wantedChunks(AHEAD_LINES)
    let busy = 0
    for (const [index, chunk] of this.#chunks) {
      if (chunk.request === undefined) continue
      if (wanted.includes(index)) busy += 1
      else {
        chunk.request.abort()
        chunk.request = undefined
      }
    }
    for (const index of wanted) {
      if (busy >= CONCURRENT) break
      const chunk = this.#chunks.get(index)
      const expected = Math.min(CHUNK_LINES, this.#count - index * CHUNK_LINES)
      const have = chunk?.lines.length ?? 0
      if (have >= expected) continue
      if (chunk?.request !== undefined || chunk?.error !== undefined) continue
      if (chunk?.resting) continue
      busy += 1
      void this.#load(index, have, expected - have)
    }
    this.#forget(wanted)
  }

  async #load(index: number, have: number, missing: number): Promise<void> {
    const request = new AbortController()
    const chunk = this.#chunks.get(index) ?? {
      lines: [],
      request: undefined,
      error: undefined,
      short: 0,
      resting: false,
    }
    chunk.request = request
    this.#chunks.set(index, chunk)
    try {
      const lines = await this.#fetch(index * CHUNK_LINES + have, missing, request.signal)
      if (chunk.request !== request) return
      chunk.lines = [...chunk.lines, ...lines.slice(0, missing)]
      if (lines.length < missing) this.#cameShort(chunk)
      else chunk.short = 0
    } catch (error) {
      if (chunk.request !== request) return
      if (!isAbort(error)) chunk.error = error
    }
    chunk.request = undefined
    this.#pump()
    this.#changed()
  }

  /** Asks again a few times with pauses, then leaves it until the log grows or somebody retries. */
  #cameShort(chunk: Chunk): void {
    chunk.short += 1
    chunk.resting = true
    if (chunk.short > SHORT_RETRIES) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      chunk.resting = false
      this.#pump()
    }, SHORT_RETRY_MS)
  }

  #forget(wanted: readonly number[]): void {
    if (this.#chunks.size <= KEEP_CHUNKS) return
    const middle = (this.#wanted.first + this.#wanted.end) / 2 / CHUNK_LINES
    const far = [...this.#chunks.keys()]
      .filter((index) => !wanted.includes(index))
      .sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle))
    for (const index of far.slice(0, this.#chunks.size - KEEP_CHUNKS)) this.#chunks.delete(index)
  }

  #changed(): void {
    this.#version += 1
    for (const listener of this.#listeners) listener()
  }
}
