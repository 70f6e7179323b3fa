/**
 * The geometry of the log view when long lines are wrapped. Nobody knows how high the whole log is: that depends
 * on the text of every line. So the view holds on to an *anchor*, one line and where on screen it is, and draws
 * the lines around it; the browser finds out how high they are. The scroll bar says how far into the log that is.
 *
 * - a short way (wheel, arrow keys, Page Down) moves the same number of pixels on screen and skips no line. The
 *   scroll bar and the place in the log drift apart by it;
 * - a long way (the thumb dragged) goes to the line that the scroll bar says;
 * - when scrolling rests, or an end of the scroll bar is hit, the scroll bar is put where the place in the log
 *   belongs. What is on screen does not move.
 *
 * A log of few lines is drawn as a whole; then nothing drifts.
 */

import { END_PADDING, MAX_SCROLL_HEIGHT } from './window'

export interface Wrapping {
  lines: number
  /** Height of a line that needs no wrapping. */
  lineHeight: number
  /** Height of the visible part. */
  viewport: number
  /** How much higher than `lineHeight` lines are on average, as far as is known. */
  factor: number
}

export interface Anchor {
  /** The top of this line, which may be the one after the last, … */
  line: number
  /** … is so many pixels below the top of the visible part, … */
  y: number
  /** … and the scroller's `scrollTop` is this. */
  scrollTop: number
}

/** Logs with no more lines are drawn as a whole. */
export const ALL_LINES = 200

const clamp = (value: number, low: number, high: number): number => Math.max(low, Math.min(value, high))

/** Lines that are drawn beyond the visible part, on each side: as far as one scroll can go. */
const overscan = (g: Wrapping): number => Math.max(20, Math.ceil(g.viewport / g.lineHeight))

/** So long a way is moved pixel by pixel. */
export const shortWay = (g: Wrapping): number => 2 * g.viewport

export const wrappedHeight = (g: Wrapping): number =>
  Math.min(MAX_SCROLL_HEIGHT, Math.ceil(g.lines * g.lineHeight * g.factor) + END_PADDING)
export const maxScroll = (g: Wrapping): number => Math.max(0, wrappedHeight(g) - g.viewport)

/** Half-open range of the lines to draw: enough whatever their heights, for no line is less than one line high. */
export function wrappedRange({ line, y }: Anchor, g: Wrapping): { first: number; end: number } {
  if (g.lines <= ALL_LINES) return { first: 0, end: g.lines }
  const above = Math.ceil(Math.max(0, y) / g.lineHeight)
  const below = Math.ceil(Math.max(0, g.viewport - y) / g.lineHeight)
  return {
    first: clamp(line - above - overscan(g), 0, g.lines),
    end: clamp(line + below + overscan(g), 0, g.lines),
  }
}

/** The highest line that can be at the top of the visible part, roughly. */
const lastTop = (g: Wrapping): number =>
  Math.max(1, g.lines - (g.viewport - END_PADDING) / (g.lineHeight * g.factor))

/** Where the scroll bar says we are. */
export function anchorOfScroll(scrollTop: number, g: Wrapping): Anchor {
  const share = maxScroll(g) === 0 ? 0 : clamp(scrollTop / maxScroll(g), 0, 1)
  if (share === 1) return { ...anchorOfEnd(g), scrollTop }
  const place = share * lastTop(g)
  const line = clamp(Math.floor(place), 0, Math.max(0, g.lines - 1))
  return { line, y: -(place - line) * g.lineHeight * g.factor, scrollTop }
}

/** Where the scroll bar belongs when this line, seen from so much of its height on, is at the top. */
export const scrollOfLine = (line: number, hidden: number, g: Wrapping): number =>
  Math.round(clamp((line + hidden) / lastTop(g), 0, 1) * maxScroll(g))

/** The last line is at the bottom. */
export const anchorOfEnd = (g: Wrapping): Anchor => ({
  line: g.lines,
  y: g.viewport - END_PADDING,
  scrollTop: maxScroll(g),
})

/** The line in the middle. */
export const anchorOfLine = (line: number, g: Wrapping): Anchor => ({
  line: clamp(line, 0, Math.max(0, g.lines - 1)),
  y: Math.max(0, Math.floor((g.viewport - g.lineHeight) / 2)),
  scrollTop: scrollOfLine(line, 0, g),
})

/** What the browser says of the lines that are drawn: where the first begins and the last ends, from the top. */
export interface Drawn {
  first: number
  end: number
  top: number
  bottom: number
}

/** By how much what is drawn has to move so that there is no gap before the first line or after the last. */
export function gap({ first, end, top, bottom }: Drawn, g: Wrapping): number {
  const below = end === g.lines ? Math.max(0, g.viewport - END_PADDING - bottom) : 0
  // A log that does not fill the view begins at its top.
  return first === 0 && top + below > 0 ? -top : below
}
