/**
 * The lines of a log by range, in bounded memory and traffic however long a line is.
 *
 * The API has no limit on the length of a line, so an answer is given up once it is too long. What has come
 * by then is used: whole lines as they are, and of a line that alone is too long its beginning.
 */

import { path } from './base'
import { receive } from './client'
import { ApiError } from './errors'

/** Bounds in characters. */
const LIMITS = {
  /** A longer answer is given up. Ordinary ranges are far below it. */
  answer: 2 * 1024 * 1024,
  /** So much is kept of a line that does not fit into an answer. */
  kept: 64 * 1024,
}

/** Ends a line of which only the beginning is here. No line of the API ends so. */
export const CUT = '\n'

/** Fetches lines of a log, without their line ends; stream letters stay. */
export async function logLines(
  logid: number,
  first: number,
  count: number,
  signal?: AbortSignal,
  limits = LIMITS,
): Promise<string[]> {
  const lines: string[] = []
  let most = limits.answer
  while (lines.length < count) {
    const { text, whole } = await receive(
      path`logs/${logid}/contents`,
      { offset: first + lines.length, limit: count - lines.length },
      most,
      signal,
    )
    if (whole) return lines.concat(splitLines(wholeContent(text)))
    const escaped = partialContent(text)
    const complete = unescaped(escaped).split('\n')
    // The last piece is the line in which the answer was given up. It is asked for again, unless it is too long.
    const given = complete.pop() ?? ''
    if (complete.length === 0 || given.length > limits.answer / 2) {
      // Made anew: a slice would keep the whole answer in memory.
      complete.push(JSON.parse(JSON.stringify(given.slice(0, limits.kept))) + CUT)
      // Where one is, there are often more.
      most = 2 * limits.kept
    }
    lines.push(...complete)
  }
  return lines
}

/** Splits a chunk's content. Every line has its `\n`, so the piece after the last one is no line. */
export function splitLines(content: string): string[] {
  if (content === '') return []
  const lines = content.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

const malformed = (): ApiError => new ApiError('malformed', 'the answer holds no lines of a log')

function wholeContent(text: string): string {
  const body = JSON.parse(text) as { logchunks?: { content?: unknown }[] } | undefined
  const content = body?.logchunks?.[0]?.content
  if (typeof content !== 'string') throw malformed()
  return content
}

/** The value of `content` in the beginning of an answer, with its escapes, of which none is incomplete. */
export function partialContent(text: string): string {
  const key = /"content"\s*:\s*"/.exec(text.slice(0, 1000))
  if (key === null) throw malformed()
  const from = key.index + key[0].length
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1))
    if (backslashes(text, at) % 2 === 0) return text.slice(from, at)
  return trimEscape(text.slice(from))
}

/** How many backslashes are directly before a place. */
function backslashes(text: string, at: number): number {
  let first = at
  while (text[first - 1] === '\\') first -= 1
  return at - first
}

/** Takes away an escape sequence that is cut off at the end, also the first half of a character. */
function trimEscape(text: string): string {
  const cut = /\\(?:u[0-9a-fA-F]{0,3})?$/.exec(text)
  const whole = cut !== null && backslashes(text, cut.index) % 2 === 0 ? text.slice(0, cut.index) : text
  return whole.replace(/(?:[\ud800-\udbff]|\\u[dD][89abAB][0-9a-fA-F]{2})$/, '')
}

const unescaped = (escaped: string): string => JSON.parse(`"${escaped}"`) as string
