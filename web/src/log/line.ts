/** From a raw line to what is shown: stream, clean text, coloured spans. */

import Anser from 'anser'
import { CUT } from '../api/loglines'
import type { LogType } from '../api/types'

/** `o` stdout, `e` stderr, `h` header (what the master says about the command), `i` stdin. */
export type Stream = 'o' | 'e' | 'h' | 'i'

export interface Span {
  text: string
  /** Class names: `fg-red`, `bg-blue`, `bold` … */
  classes: readonly string[]
  /** 24-bit and palette colours, which no class can name. */
  color?: string
  background?: string
}

/** Longer lines are cut on screen; the raw download has everything. */
export const MAX_SHOWN = 4000
/** No more of a line is looked at for showing it: escape sequences take room, too. */
const MAX_PARSED = 4 * MAX_SHOWN

/** A line as it came: its stream, its text, and whether only its beginning is here. */
export interface Line {
  stream: Stream
  text: string
  cut: boolean
}

/** Splits off the stream letter that every line of a type `s` log starts with. */
export function splitStream(raw: string, type: LogType): Line {
  const cut = raw.endsWith(CUT)
  const end = cut ? -CUT.length : raw.length
  const letter = raw[0]
  if (type === 's' && (letter === 'o' || letter === 'e' || letter === 'h' || letter === 'i'))
    return { stream: letter, text: raw.slice(1, end), cut }
  return { stream: 'o', text: raw.slice(0, end), cut }
}

// Escape sequences other than colours: cursor movement, erasing, window titles, hyperlinks.
const OTHER_ESCAPES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are control characters
  /\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-9;?<>=!]*[A-Za-ln-z@`~]|\x1b[()][0-9A-Za-z]|\x1b[=>78cDEHMNOZ]/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const COLOURS = /\x1b\[[0-9;:]*m/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const CONTROLS = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]/g

/** A progress display writes over its line; what it wrote last is what a terminal would show. */
function afterReturns(text: string): string {
  if (!text.includes('\r')) return text
  const parts = text.split('\r')
  while (parts.length > 1 && parts.at(-1) === '') parts.pop()
  return parts.at(-1) ?? ''
}

const clean = (text: string): string => afterReturns(text).replace(OTHER_ESCAPES, '').replace(CONTROLS, '')

/** The text without any escape sequence; what search looks at. */
export const plainText = (raw: string, type: LogType): string =>
  clean(splitStream(raw, type).text).replace(COLOURS, '').replaceAll('\x1b', '')

const NAMED = /^ansi-(bright-)?(black|red|green|yellow|blue|magenta|cyan|white)$/

/** Palette colour 16–255 (6×6×6 cube and greys) as CSS; 0–15 have names. */
function paletteColour(index: number): string {
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10
    return `rgb(${grey}, ${grey}, ${grey})`
  }
  const cube = index - 16
  const level = (n: number) => (n === 0 ? 0 : 55 + n * 40)
  return `rgb(${level(Math.floor(cube / 36))}, ${level(Math.floor(cube / 6) % 6)}, ${level(cube % 6)})`
}

function colour(name: string | null, truecolor: string | null): { class?: string; css?: string } {
  if (!name) return {}
  if (name === 'ansi-truecolor') return truecolor ? { css: `rgb(${truecolor})` } : {}
  const palette = /^ansi-palette-(\d+)$/.exec(name)
  if (palette) return { css: paletteColour(Number(palette[1])) }
  const named = NAMED.exec(name)
  return named ? { class: `${named[1] ? 'bright-' : ''}${named[2]}` } : {}
}

/** The part of a line that is shown, as spans; `rest` says how many characters are missing. */
export function shownSpans(text: string): { spans: Span[]; rest: number } {
  const { spans, rest } = cutSpans(parseSpans(text.slice(0, MAX_PARSED)))
  return { spans, rest: rest + Math.max(0, text.length - MAX_PARSED) }
}

/** Columns that the shown part of a line takes, with what is said where it is cut. */
export const shownColumns = (raw: string, type: LogType): number =>
  Math.min(MAX_SHOWN + 50, columns(plainText(raw.slice(0, MAX_PARSED), type)))

/** Splits a line into spans of one look. Colours do not run over to the next line. */
export function parseSpans(text: string): Span[] {
  const shown = clean(text)
  if (!shown.includes('\x1b')) return shown === '' ? [] : [{ text: shown, classes: [] }]
  return Anser.ansiToJson(shown, { use_classes: true, remove_empty: true, json: true })
    .filter((part) => part.content !== '')
    .map((part) => {
      const fg = colour(part.fg, part.fg_truecolor)
      const bg = colour(part.bg, part.bg_truecolor)
      return {
        text: part.content.replaceAll('\x1b', ''),
        classes: [
          ...(fg.class ? [`fg-${fg.class}`] : []),
          ...(bg.class ? [`bg-${bg.class}`] : []),
          ...part.decorations.filter((each) => each !== 'blink' && each !== 'reverse'),
        ],
        ...(fg.css !== undefined && { color: fg.css }),
        ...(bg.css !== undefined && { background: bg.css }),
      }
    })
}

/** Cuts spans after so many characters; `rest` says how many are missing. */
export function cutSpans(spans: readonly Span[], most = MAX_SHOWN): { spans: Span[]; rest: number } {
  const kept: Span[] = []
  let room = most
  let rest = 0
  for (const span of spans) {
    if (room >= span.text.length) kept.push(span)
    else {
      if (room > 0) kept.push({ ...span, text: span.text.slice(0, room) })
      rest += span.text.length - Math.max(0, room)
    }
    room -= Math.min(room, span.text.length)
  }
  return { spans: kept, rest }
}

/** Columns that a text takes, with tabs to every eighth column. */
export function columns(text: string): number {
  if (!text.includes('\t')) return text.length
  let column = 0
  for (const character of text) column = character === '\t' ? (Math.floor(column / 8) + 1) * 8 : column + 1
  return column
}

/** Cuts spans at the ends of the given ranges and marks what is inside them. */
export function markSpans(
  spans: readonly Span[],
  ranges: readonly (readonly [start: number, end: number])[],
): (Span & { marked: boolean })[] {
  const result: (Span & { marked: boolean })[] = []
  let at = 0
  for (const span of spans) {
    const end = at + span.text.length
    let from = at
    for (const [start, stop] of ranges) {
      if (stop <= from || start >= end) continue
      if (start > from) result.push({ ...span, text: span.text.slice(from - at, start - at), marked: false })
      const first = Math.max(start, from)
      const last = Math.min(stop, end)
      result.push({ ...span, text: span.text.slice(first - at, last - at), marked: true })
      from = last
    }
    if (from < end) result.push({ ...span, text: span.text.slice(from - at), marked: false })
    at = end
  }
  return result
}

/** Where addresses are in a text; trailing punctuation belongs to the sentence. */
export function findLinks(text: string): [start: number, end: number][] {
  const links: [number, number][] = []
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"'`]+/g)) {
    const url = match[0].replace(/[.,;:!?)\]}]+$/, '')
    links.push([match.index, match.index + url.length])
  }
  return links
}
