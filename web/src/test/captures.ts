/** Answers and events recorded from a stock server; see the folder `captures`. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Capture {
  request: { method: string; path: string; json?: unknown }
  status: number
  headers: Record<string, string>
  body: unknown
}

const read = (name: string): string => readFileSync(join(import.meta.dirname, 'captures', name), 'utf8')

export const capture = (name: string): Capture => JSON.parse(read(`${name}.json`))

/** All events that a client of the stock server was sent, in order. */
export function capturedEvents(): { k: string; m: Record<string, unknown> }[] {
  return read('ws-events.jsonl')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
    .filter((frame) => frame.dir === 'server>client' && frame.text?.startsWith('{"k"'))
    .map((frame) => JSON.parse(frame.text))
}

/** An answer of `fetch` made of a capture. */
export function responseOf({ status, headers, body }: Capture): Response {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return new Response(text, { status, headers: { 'Content-Type': headers['Content-Type'] ?? '' } })
}
