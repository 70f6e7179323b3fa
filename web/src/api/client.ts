/**
 * REST v2 in four functions: `list`, `get`, `call`, `logLines`. All of them throw `ApiError` only (and
 * the abort error of the caller's own signal).
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
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout
  let response: Response
  let text: string
  try {
    response = await fetch(url, {
      ...init,
      signal,
      credentials: 'same-origin',
      headers: { Accept: 'application/json', ...init.headers },
    })
    text = await response.text()
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
  noteServerTime(response.headers.get('Date'))
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

/** Fetches whole lines of a log, without their line ends; stream letters stay. */
export async function logLines(
  logid: number,
  first: number,
  count: number,
  signal?: AbortSignal,
): Promise<string[]> {
  const chunk = await get('logchunks', path`logs/${logid}/contents`, { offset: first, limit: count }, signal)
  return splitLines(chunk.content)
}

/** Splits a chunk's content. Every line has its `\n`, so the piece after the last one is no line. */
export function splitLines(content: string): string[] {
  if (content === '') return []
  const lines = content.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
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
