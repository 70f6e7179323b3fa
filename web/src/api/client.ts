/**
 * REST v2 in three functions: `list`, `get`, `call`. All of them throw `ApiError` only (and the abort error
 * of the caller's own signal). Lines of logs have a file of their own, `loglines.ts`.
 */

import { noteServerTime } from '../lib/clock'
import { apiUrl, path, type Query, queryString, siteRoot } from './base'
import { ApiError, isAbort, refusal } from './errors'
import type { Json, Plural, Resources, SiteConfig, User } from './types'

/** A page of a collection. `total` counts all items that match, as far as the server tells. */
export interface Page<T> {
  items: readonly T[]
  total: number
}

/** After this long without an answer a request counts as failed. */
const TIMEOUT_MS = 30_000

async function answer(url: string, init: RequestInit): Promise<unknown> {
  return parsed(await exchange(url, init, Number.POSITIVE_INFINITY))
}

interface Received {
  response: Response
  text: string
  /** False if the answer was given up because it was too long. */
  whole: boolean
}

async function exchange(url: string, init: RequestInit, most: number): Promise<Received> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout
  try {
    const response = await fetch(url, {
      ...init,
      signal,
      credentials: 'same-origin',
      headers: { Accept: 'application/json', ...init.headers },
    })
    return { response, ...(await textOf(response, most)) }
  } catch (cause) {
    if (isAbort(cause) && init.signal?.aborted) throw cause
    throw new ApiError(
      'unreachable',
      timeout.aborted
        ? `no answer within ${TIMEOUT_MS / 1000} seconds`
        : 'the master cannot be reached; it may be restarting, or the network is down',
      { cause },
    )
  }
}

/** Reads an answer; one that is too long is given up, and the connection told so. */
async function textOf(response: Response, most: number): Promise<{ text: string; whole: boolean }> {
  if (most === Number.POSITIVE_INFINITY || response.body === null)
    return { text: await response.text(), whole: true }
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return { text: text + decoder.decode(), whole: true }
    text += decoder.decode(value, { stream: true })
    if (text.length > most) {
      // Whatever comes of it: nothing more is read.
      void reader.cancel().catch(() => undefined)
      return { text, whole: false }
    }
  }
}

function parsed({ response, text, whole }: Received): unknown {
  noteServerTime(response.headers.get('Date'))
  if (!whole && response.ok) return undefined
  let body: unknown
  try {
    body = text === '' ? undefined : JSON.parse(text)
  } catch (cause) {
    // Typically a proxy's error page. Its status says more than its markup.
    if (!response.ok) throw refusal(response.status, response.statusText, undefined)
    throw new ApiError('malformed', 'the answer is not JSON; is something else answering at this address?', {
      status: response.status,
      cause,
    })
  }
  if (!response.ok) throw refusal(response.status, response.statusText, body)
  return body
}

/** Fetches at most about `most` characters of an answer, as text. */
export async function receive(
  resource: string,
  query: Query,
  most: number,
  signal?: AbortSignal,
): Promise<{ text: string; whole: boolean }> {
  const received = await exchange(apiUrl(resource) + queryString(query), { signal: signal ?? null }, most)
  // Refusals, and what is not JSON, are told as of any other request.
  parsed(received)
  return received
}

/** Fetches a collection. `plural` is the envelope's key and picks the item type. */
export async function list<P extends Plural>(
  plural: P,
  resource: string,
  query?: Query,
  signal?: AbortSignal,
): Promise<Page<Resources[P]>> {
  const body = await answer(apiUrl(resource) + queryString(query), { signal: signal ?? null })
  const items = (body as Record<string, unknown> | undefined)?.[plural]
  if (!Array.isArray(items)) throw new ApiError('malformed', `the answer has no "${plural}" list`)
  const total = (body as { meta?: { total?: unknown } }).meta?.total
  return { items, total: typeof total === 'number' ? Math.max(total, items.length) : items.length }
}

/** Fetches one item (which travels as a list of one). */
export async function get<P extends Plural>(
  plural: P,
  resource: string,
  query?: Query,
  signal?: AbortSignal,
): Promise<Resources[P]> {
  const { items } = await list(plural, resource, query, signal)
  const item = items[0]
  if (item === undefined) throw new ApiError('not-found', `there is nothing at ${resource}`, { status: 404 })
  return item
}

let lastCall = 0

/** Calls a control method of a resource (JSON-RPC 2.0 by POST). */
export async function call<R = unknown>(
  resource: string,
  method: string,
  params: Readonly<Record<string, Json>> = {},
): Promise<R> {
  lastCall += 1
  const body = await answer(apiUrl(resource), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: lastCall, method, params }),
  })
  if (body === null || typeof body !== 'object' || !('result' in body))
    throw new ApiError('malformed', 'the answer has no result')
  return body.result as R
}

/** The whole text of a log; for HTML logs, which are shown in one piece. */
export async function logText(logid: number, signal?: AbortSignal): Promise<string> {
  return (await get('logchunks', path`logs/${logid}/contents`, {}, signal)).content
}

/** Where the browser downloads or shows the raw bytes. */
export const rawLogUrl = (logid: number, inline = false): string =>
  apiUrl(path`logs/${logid}/${inline ? 'raw_inline' : 'raw'}`)

/** Title, versions and who is logged in. */
export async function siteConfig(signal?: AbortSignal): Promise<SiteConfig> {
  return (await answer(`${siteRoot()}config`, { signal: signal ?? null })) as SiteConfig
}

/** The configuration that the server has written into the index page, if it did. */
export function embeddedConfig(): SiteConfig | undefined {
  return (globalThis as { buildbotFrontendConfig?: SiteConfig }).buildbotFrontendConfig
}

/** Exchanges an admin token for a session cookie. */
export async function logIn(token: string): Promise<User> {
  const body = await answer(`${siteRoot()}auth/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ token }),
  })
  const user = (body as { user?: User } | undefined)?.user
  if (user === undefined) throw new ApiError('malformed', 'the answer to the login names no user')
  return user
}

/** Ends the session. */
export async function logOut(): Promise<void> {
  await answer(`${siteRoot()}auth/logout`, { method: 'POST' })
}
