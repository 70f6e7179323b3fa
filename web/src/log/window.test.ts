import { describe, expect, it } from 'vitest'
import {
  EDGE,
  END_PADDING,
  formatRange,
  type Geometry,
  isAtEnd,
  isScaled,
  MAX_SCROLL_HEIGHT,
  maxScrollTop,
  maxVirtualTop,
  needsSettling,
  type Position,
  parseRange,
  positionOfEnd,
  positionOfLine,
  renderedRange,
  restingScroll,
  scrolled,
  scrollHeight,
  topOfLine,
  toScroll,
  toVirtual,
} from './window'

const small: Geometry = { lines: 1000, lineHeight: 20, viewport: 600 }
const million: Geometry = { lines: 1_000_000, lineHeight: 20, viewport: 600 }
const huge: Geometry = { lines: 50_000_000, lineHeight: 20, viewport: 600 }
const start: Position = { virtualTop: 0, scrollTop: 0 }
const firstLine = (position: Position, g: Geometry) => Math.floor(position.virtualTop / g.lineHeight)

describe('a log that fits into the scroll space', () => {
  it('scrolls one to one', () => {
    expect(isScaled(small)).toBe(false)
    expect(scrollHeight(small)).toBe(1000 * 20 + END_PADDING)
    expect(scrolled(start, 1234, small)).toEqual({ virtualTop: 1234, scrollTop: 1234 })
  })

  it('does not scroll when it is shorter than the view', () => {
    const short = { ...small, lines: 3 }
    expect(maxScrollTop(short)).toBe(0)
    expect(positionOfEnd(short)).toEqual(start)
    expect(renderedRange(start, short, 20)).toEqual({ first: 0, end: 3 })
  })

  it('renders what is on screen and a bounded number more', () => {
    const range = renderedRange({ virtualTop: 10_000, scrollTop: 10_000 }, small, 20)
    expect(range).toEqual({ first: 480, end: 550 })
  })

  it('knows an empty log', () => {
    const empty = { ...small, lines: 0 }
    expect(renderedRange(start, empty, 20)).toEqual({ first: 0, end: 0 })
    expect(isAtEnd(start, empty)).toBe(true)
  })
})

describe.each([
  ['a million lines', million],
  ['fifty million lines', huge],
])('%s', (_name, g) => {
  it('stays within what browsers can do', () => {
    expect(isScaled(g)).toBe(true)
    expect(scrollHeight(g)).toBe(MAX_SCROLL_HEIGHT)
  })

  it('has exact ends', () => {
    expect(toVirtual(0, g)).toBe(0)
    expect(toVirtual(maxScrollTop(g), g)).toBe(maxVirtualTop(g))
    expect(toScroll(maxVirtualTop(g), g)).toBe(maxScrollTop(g))
    expect(renderedRange(positionOfEnd(g), g, 0).end).toBe(g.lines)
  })

  it('maps the thumb proportionally', () => {
    const middle = scrolled(start, maxScrollTop(g) / 2, g)
    expect(Math.abs(firstLine(middle, g) - g.lines / 2)).toBeLessThanOrEqual(g.viewport / g.lineHeight)
  })

  it('maps there and back within the precision of one scroll pixel', () => {
    const pixel = (maxVirtualTop(g) - 2 * EDGE) / (maxScrollTop(g) - 2 * EDGE)
    for (const share of [0, 0.1, 0.333, 0.5, 0.9999, 1]) {
      const virtualTop = Math.round(maxVirtualTop(g) * share)
      expect(Math.abs(toVirtual(toScroll(virtualTop, g), g) - virtualTop)).toBeLessThanOrEqual(pixel)
    }
  })

  it('moves pixel by pixel with the wheel, skipping no line', () => {
    let position = positionOfLine(Math.floor(g.lines / 2), g, 'top')
    const from = position.virtualTop
    for (let i = 0; i < 200; i++) position = scrolled(position, position.scrollTop + 53, g)
    expect(position.virtualTop - from).toBe(200 * 53)
  })

  it('draws each line where it is on screen, whatever the scroll space says', () => {
    const position = scrolled(positionOfLine(700_000, g, 'top'), toScroll(700_000 * 20, g) + 40, g)
    const line = firstLine(position, g)
    expect(topOfLine(line, position, g) - position.scrollTop).toBe(line * 20 - position.virtualTop)
  })

  it('comes back into step when scrolling rests, without moving what is on screen', () => {
    const moved = scrolled(positionOfLine(500_000, g, 'top'), toScroll(500_000 * 20, g) + 1000, g)
    const rested = { virtualTop: moved.virtualTop, scrollTop: toScroll(moved.virtualTop, g) }
    expect(topOfLine(500_000, rested, g) - rested.scrollTop).toBe(
      topOfLine(500_000, moved, g) - moved.scrollTop,
    )
  })

  it('leaves the scroll bar alone while nobody could see that it is off', () => {
    const middle = positionOfLine(Math.floor(g.lines / 2), g, 'top')
    const turned = scrolled(middle, middle.scrollTop + 200, g)
    expect(restingScroll(turned, g)).toBeUndefined()
    const off = { ...middle, scrollTop: middle.scrollTop + 20_000 }
    expect(restingScroll(off, g)).toBe(middle.scrollTop)
    const nearEnd = positionOfLine(500, g, 'top')
    expect(restingScroll({ ...nearEnd, scrollTop: nearEnd.scrollTop + 5 }, g)).toBe(nearEnd.scrollTop)
    expect(restingScroll(nearEnd, g)).toBeUndefined()
  })

  it.each([
    ['first', -1],
    ['last', 1],
  ] as const)('reaches the %s line at the same pace as any other', (_which, way) => {
    const line = way < 0 ? 300 : g.lines - 300
    let position = positionOfLine(line, g, 'top')
    const distance = way < 0 ? position.virtualTop : maxVirtualTop(g) - position.virtualTop
    for (let moved = 0; moved < distance; moved += 30) {
      const scrollTop = Math.max(0, Math.min(maxScrollTop(g), position.scrollTop + way * 30))
      const next = scrolled(position, scrollTop, g)
      expect(Math.abs(next.virtualTop - position.virtualTop)).toBe(Math.min(30, distance - moved))
      expect(needsSettling(next, g)).toBe(false)
      position = next
    }
    expect(position).toEqual(way < 0 ? start : positionOfEnd(g))
  })

  it('comes right at an end of the scroll space that is not one of the log', () => {
    // A single gesture of two thousand turns of the wheel, without a rest.
    let position = positionOfLine(Math.floor(g.lines / 2), g, 'top')
    const steps = Math.ceil(position.scrollTop / 1000)
    for (let i = 0; i < steps; i++) position = scrolled(position, Math.max(0, position.scrollTop - 1000), g)
    expect(position.scrollTop).toBe(0)
    expect(position.virtualTop).toBeGreaterThan(0)
    expect(needsSettling(position, g)).toBe(true)
    expect(toScroll(position.virtualTop, g)).toBeGreaterThan(0)
  })

  it('has no jump where the scale changes', () => {
    for (const at of [EDGE, maxScrollTop(g) - EDGE]) {
      const pixel = (maxVirtualTop(g) - 2 * EDGE) / (maxScrollTop(g) - 2 * EDGE)
      expect(toVirtual(at + 1, g) - toVirtual(at - 1, g)).toBeLessThanOrEqual(Math.ceil(pixel) + 2)
      expect(toVirtual(at + 1, g)).toBeGreaterThan(toVirtual(at - 1, g))
    }
  })

  it('finds a line and puts it into the middle', () => {
    const position = positionOfLine(123_456, g)
    const range = renderedRange(position, g, 0)
    expect(range.first).toBeLessThan(123_456)
    expect(range.end).toBeGreaterThan(123_456)
    expect(positionOfLine(0, g)).toEqual(start)
    expect(positionOfLine(g.lines - 1, g)).toEqual(positionOfEnd(g))
  })

  it('never renders more than a bounded number of lines', () => {
    for (const share of [0, 0.2, 0.77, 1]) {
      const { first, end } = renderedRange(scrolled(start, maxScrollTop(g) * share, g), g, 20)
      expect(end - first).toBeLessThanOrEqual(g.viewport / g.lineHeight + 42)
    }
  })
})

describe('line ranges in addresses', () => {
  it.each([
    ['120', { first: 119, last: 119 }],
    ['L120', { first: 119, last: 119 }],
    ['120-140', { first: 119, last: 139 }],
    ['140-L120', { first: 119, last: 139 }],
  ])('reads %s', (text, range) => {
    expect(parseRange(text)).toEqual(range)
  })
  it.each([undefined, '', '0', '-3', 'x', '1-', '1-2-3', '9999999999999999'])('refuses %s', (text) => {
    expect(parseRange(text)).toBeUndefined()
  })
  it('writes what it reads', () => {
    expect(formatRange({ first: 119, last: 119 })).toBe('120')
    expect(formatRange({ first: 119, last: 139 })).toBe('120-140')
  })
})
