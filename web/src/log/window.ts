/**
 * The geometry of the log view: which lines are on screen, and where.
 *
 * All lines have the same height, so a log has a *virtual* height that is exact: lines × line height.
 * Browsers limit how high an element can be (Firefox to about 17.9 million pixels), so above
 * `MAX_SCROLL_HEIGHT` the *scroll* space is shorter than the virtual one. Then:
 *
 * - a long way (the thumb dragged, Home, End) maps proportionally, so the scroll bar is exact. Only the
 *   first and last `EDGE` pixels map one to one, so that the ends are reached as in any other text;
 * - a short way (wheel, arrow keys, Page Down) moves the same number of pixels in virtual space, so
 *   scrolling feels as everywhere and skips no line. This lets the two drift apart;
 * - when scrolling rests and the drift could be seen at the scroll bar, or an end of the scroll space is
 *   hit, the scroll position is set to where the virtual position belongs. What is on screen does not move.
 */

/** Well inside every browser's limit, and small enough for half-pixel precision in 32-bit floats. */
export const MAX_SCROLL_HEIGHT = 8_000_000

/** Pixels at both ends of a scaled scroll space that are not scaled. */
export const EDGE = 100_000

/** Room after the last line. */
export const END_PADDING = 12

export interface Geometry {
  lines: number
  lineHeight: number
  /** Height of the visible part. */
  viewport: number
}

export interface Position {
  /** Pixels of the log above the visible part. */
  virtualTop: number
  /** The scroller's `scrollTop` that goes with it. */
  scrollTop: number
}

const clamp = (value: number, low: number, high: number): number => Math.max(low, Math.min(value, high))

export const virtualHeight = (g: Geometry): number => g.lines * g.lineHeight + END_PADDING
export const scrollHeight = (g: Geometry): number => Math.min(virtualHeight(g), MAX_SCROLL_HEIGHT)
export const maxVirtualTop = (g: Geometry): number => Math.max(0, virtualHeight(g) - g.viewport)
export const maxScrollTop = (g: Geometry): number => Math.max(0, scrollHeight(g) - g.viewport)
export const isScaled = (g: Geometry): boolean => virtualHeight(g) > MAX_SCROLL_HEIGHT

/** Where the scroll bar says we are. */
export function toVirtual(scrollTop: number, g: Geometry): number {
  return mapped(scrollTop, maxScrollTop(g), maxVirtualTop(g), isScaled(g))
}

/** Where the scroll bar should be; the inverse of `toVirtual`. */
export function toScroll(virtualTop: number, g: Geometry): number {
  return mapped(virtualTop, maxVirtualTop(g), maxScrollTop(g), isScaled(g))
}

/** One to one at both ends, proportional between them. */
function mapped(value: number, from: number, to: number, scaled: boolean): number {
  if (!scaled) return clamp(value, 0, to)
  if (value <= EDGE) return Math.max(0, value)
  if (value >= from - EDGE) return to - Math.max(0, from - value)
  return Math.round(EDGE + ((value - EDGE) * (to - 2 * EDGE)) / (from - 2 * EDGE))
}

/** The position after the scroller has come to `scrollTop`. */
export function scrolled(before: Position, scrollTop: number, g: Geometry): Position {
  if (!isScaled(g)) return { virtualTop: toVirtual(scrollTop, g), scrollTop }
  const way = scrollTop - before.scrollTop
  const short = Math.abs(way) <= 2 * g.viewport
  const virtualTop = short ? clamp(before.virtualTop + way, 0, maxVirtualTop(g)) : toVirtual(scrollTop, g)
  return { virtualTop, scrollTop }
}

/** True when an end of the scroll space is reached but not that end of the log (or the other way round). */
export function needsSettling(position: Position, g: Geometry): boolean {
  if (!isScaled(g)) return false
  const ends = [0, maxScrollTop(g)]
  return ends.includes(position.scrollTop) && toScroll(position.virtualTop, g) !== position.scrollTop
}

/** Where the scroll bar is to be put when scrolling rests; undefined if it may stay. */
export function restingScroll(position: Position, g: Geometry): number | undefined {
  if (!isScaled(g)) return undefined
  const belongs = toScroll(position.virtualTop, g)
  const drift = Math.abs(belongs - position.scrollTop)
  const ends = Math.min(belongs, maxScrollTop(g) - belongs) < 2 * EDGE
  // The thumb moves by a pixel for so many pixels of the scroll space. Near the ends every pixel counts.
  const visible = ends ? 1 : maxScrollTop(g) / Math.max(1, g.viewport)
  return drift >= visible ? belongs : undefined
}

/** The position that shows line `index`; in the middle, or at the top. */
export function positionOfLine(index: number, g: Geometry, place: 'middle' | 'top' = 'middle'): Position {
  const above = place === 'middle' ? Math.max(0, Math.floor((g.viewport - g.lineHeight) / 2)) : 0
  const virtualTop = clamp(index * g.lineHeight - above, 0, maxVirtualTop(g))
  return { virtualTop, scrollTop: toScroll(virtualTop, g) }
}

export const positionOfEnd = (g: Geometry): Position => ({
  virtualTop: maxVirtualTop(g),
  scrollTop: maxScrollTop(g),
})

export const isAtEnd = (position: Position, g: Geometry): boolean =>
  position.virtualTop >= maxVirtualTop(g) - 1

/** Half-open range of the lines to render: those on screen and `overscan` more on each side. */
export function renderedRange(
  position: Position,
  g: Geometry,
  overscan: number,
): { first: number; end: number } {
  const first = Math.floor(position.virtualTop / g.lineHeight)
  const end = Math.ceil((position.virtualTop + g.viewport) / g.lineHeight)
  return { first: clamp(first - overscan, 0, g.lines), end: clamp(end + overscan, 0, g.lines) }
}

/** Where line `index` is, in the scroller's coordinates. */
export const topOfLine = (index: number, position: Position, g: Geometry): number =>
  position.scrollTop - position.virtualTop + index * g.lineHeight

/** A range of lines as in the address: `120` or `120-140`, counted from 1. */
export interface LineRange {
  first: number
  last: number
}

/** Reads `120`, `120-140`, also with an `L` before; zero-based result. */
export function parseRange(text: string | undefined): LineRange | undefined {
  const match = /^L?(\d{1,12})(?:-L?(\d{1,12}))?$/.exec(text ?? '')
  if (match === null) return undefined
  const a = Number(match[1]) - 1
  const b = match[2] === undefined ? a : Number(match[2]) - 1
  if (a < 0 || b < 0) return undefined
  return { first: Math.min(a, b), last: Math.max(a, b) }
}

export const formatRange = ({ first, last }: LineRange): string =>
  first === last ? String(first + 1) : `${first + 1}-${last + 1}`
