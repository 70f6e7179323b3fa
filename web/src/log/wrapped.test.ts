import { describe, expect, it } from 'vitest'
import { END_PADDING, MAX_SCROLL_HEIGHT } from './window'
import {
  ALL_LINES,
  anchorOfEnd,
  anchorOfLine,
  anchorOfScroll,
  gap,
  maxScroll,
  scrollOfLine,
  shortWay,
  type Wrapping,
  wrappedHeight,
  wrappedRange,
} from './wrapped'

const geometry = (lines: number, factor = 1.4): Wrapping => ({ lines, lineHeight: 20, viewport: 600, factor })

describe('wrapped lines', () => {
  it('are all drawn where there are few', () => {
    expect(wrappedRange({ line: 50, y: 0, scrollTop: 0 }, geometry(ALL_LINES))).toEqual({
      first: 0,
      end: ALL_LINES,
    })
  })

  it.each([1000, 1_000_000])(
    'fill the view from the anchor, as far as a short way goes (%i lines)',
    (lines) => {
      const g = geometry(lines)
      for (const line of [0, 1, 137, lines >> 1, lines - 1, lines]) {
        for (const y of [-5000, -7.5, 0, 290, 588]) {
          const { first, end } = wrappedRange({ line, y, scrollTop: 0 }, g)
          expect(first).toBeGreaterThanOrEqual(0)
          expect(end).toBeLessThanOrEqual(lines)
          // Whatever the heights: at least the view, and as much again on each side.
          if (first > 0) expect((line - first) * 20).toBeGreaterThanOrEqual(Math.max(0, y) + shortWay(g) / 2)
          if (end < lines) expect((end - line) * 20).toBeGreaterThanOrEqual(600 - y + shortWay(g) / 2)
          expect(end - first).toBeLessThan(600)
        }
      }
    },
  )

  it.each([300, 5000, 1_000_000])(
    'the scroll bar says where one is, and the other way round (%i lines)',
    (lines) => {
      const g = geometry(lines)
      expect(wrappedHeight(g)).toBeLessThanOrEqual(MAX_SCROLL_HEIGHT)
      expect(anchorOfScroll(0, g)).toMatchObject({ line: 0, y: -0 })
      expect(anchorOfScroll(maxScroll(g), g)).toEqual(anchorOfEnd(g))
      for (const share of [0.1, 0.25, 0.5, 0.9, 0.999]) {
        const scrollTop = Math.round(share * maxScroll(g))
        const { line, y } = anchorOfScroll(scrollTop, g)
        expect(Math.abs(line / lines - share)).toBeLessThan(0.1)
        expect(scrollOfLine(line, -y / (20 * 1.4), g)).toBe(scrollTop)
      }
    },
  )

  it('the end is the last line at the bottom, any line can be in the middle', () => {
    const g = geometry(5000)
    expect(anchorOfEnd(g)).toEqual({ line: 5000, y: 600 - END_PADDING, scrollTop: maxScroll(g) })
    expect(anchorOfLine(100, g)).toMatchObject({ line: 100, y: 290 })
    expect(anchorOfLine(99_999, g).line).toBe(4999)
  })

  it('leave no gap before the first and after the last', () => {
    const g = geometry(5000)
    const inside = { first: 10, end: 90, top: 50, bottom: 300 }
    expect(gap(inside, g)).toBe(0)
    expect(gap({ first: 0, end: 90, top: 50, bottom: 3000 }, g)).toBe(-50)
    expect(gap({ first: 0, end: 90, top: -50, bottom: 3000 }, g)).toBe(0)
    expect(gap({ first: 4900, end: 5000, top: -3000, bottom: 400 }, g)).toBe(600 - END_PADDING - 400)
    // What does not fill the view begins at its top.
    expect(gap({ first: 0, end: 5000, top: -30, bottom: 100 }, g)).toBe(30)
    expect(gap({ first: 0, end: 5000, top: 0, bottom: 100 }, g)).toBe(-0)
  })
})
