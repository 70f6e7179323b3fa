/** Where the reader is in a log with wrapped lines. The arithmetic is in `wrapped.ts`. */

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { flushSync } from 'react-dom'
import { formatRange, type LineRange } from './window'
import {
  type Anchor,
  anchorOfEnd,
  anchorOfLine,
  anchorOfScroll,
  type Drawn,
  gap,
  maxScroll,
  scrollOfLine,
  shortWay,
  type Wrapping,
  wrappedRange,
} from './wrapped'

/** Smaller corrections could not be seen. */
const VISIBLE_PX = 0.5

interface Row {
  index: number
  top: number
  bottom: number
}

export function useWrapped({
  count,
  lineHeight,
  complete,
  startAt,
  startLine,
  selected,
}: {
  count: number
  lineHeight: number
  complete: boolean
  startAt: 'start' | 'end'
  /** Goes before `startAt`: the line that was at the top before. */
  startLine: number | undefined
  selected: LineRange | undefined
}) {
  const scroller = useRef<HTMLElement>(null)
  const [size, setSize] = useState({ height: 0, width: 0 })
  const [factor, setFactor] = useState(1)
  const [anchor, setDrawn] = useState<Anchor>({ line: 0, y: 0, scrollTop: 0 })
  // The newest anchor. Until it is the one that is drawn, what the browser says of the lines means nothing.
  const latest = useRef(anchor)
  const setAnchor = useCallback((next: Anchor) => {
    latest.current = next
    setDrawn(next)
  }, [])
  const [following, setFollowing] = useState(
    !complete && startAt === 'end' && selected === undefined && startLine === undefined,
  )
  const placed = useRef(false)
  // The end was asked for: it stays on screen when lines come or the view changes.
  const atEnd = useRef(false)
  const g: Wrapping = useMemo(
    () => ({ lines: count, lineHeight, viewport: size.height, factor }),
    [count, lineHeight, size.height, factor],
  )

  useLayoutEffect(() => {
    const element = scroller.current
    if (element === null) return
    const measure = () => setSize({ height: element.clientHeight, width: element.clientWidth })
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  /** The lines that are drawn, from the top of the visible part. */
  const rows = useCallback((): Row[] => {
    const element = scroller.current
    if (element === null) return []
    const { top } = element.getBoundingClientRect()
    return [...element.querySelectorAll<HTMLElement>('[data-line]')].map((number) => {
      const box = (number.parentElement ?? number).getBoundingClientRect()
      return { index: Number(number.dataset.line), top: box.top - top, bottom: box.bottom - top }
    })
  }, [])

  const moveTo = useCallback(
    (next: Anchor) => {
      const element = scroller.current
      if (element === null) return
      element.scrollTop = next.scrollTop
      // The browser may have rounded or limited it.
      setAnchor({ ...next, scrollTop: element.scrollTop })
    },
    [setAnchor],
  )
  const leaveEnd = useCallback(() => {
    atEnd.current = false
    setFollowing(false)
  }, [])
  const toLine = useCallback(
    (line: number) => {
      leaveEnd()
      moveTo(anchorOfLine(line, g))
    },
    [g, leaveEnd, moveTo],
  )
  const toStart = useCallback(() => {
    leaveEnd()
    moveTo({ line: 0, y: 0, scrollTop: 0 })
  }, [leaveEnd, moveTo])
  const toEnd = useCallback(() => {
    atEnd.current = true
    moveTo(anchorOfEnd(g))
    if (!complete) setFollowing(true)
  }, [g, complete, moveTo])

  // The first place, once height and number of lines are known; then holding the end.
  useLayoutEffect(() => {
    if (g.viewport === 0 || g.lines === 0) return
    if (!placed.current) {
      placed.current = true
      if (startLine !== undefined) moveTo({ line: startLine, y: 0, scrollTop: scrollOfLine(startLine, 0, g) })
      else if (selected !== undefined) moveTo(anchorOfLine(selected.first, g))
      else if (startAt === 'end') {
        atEnd.current = true
        moveTo(anchorOfEnd(g))
      }
    } else if (following || atEnd.current) moveTo(anchorOfEnd(g))
  }, [g, following, selected, startAt, startLine, moveTo])

  // A line selected from outside: the address was edited, or a link followed.
  const wanted = selected && formatRange(selected)
  const shown = useRef(wanted)
  useEffect(() => {
    if (wanted === shown.current || !placed.current) return
    shown.current = wanted
    if (selected !== undefined) toLine(selected.first)
  }, [wanted, selected, toLine])

  // Before anything is painted: no gap at the ends, whatever heights the lines turned out to have.
  useLayoutEffect(() => {
    if (latest.current !== anchor) return
    const all = rows()
    const first = all[0]
    const last = all.at(-1)
    if (first === undefined || last === undefined || g.viewport === 0) return
    const drawn: Drawn = { first: first.index, end: last.index + 1, top: first.top, bottom: last.bottom }
    const shift = gap(drawn, g)
    if (Math.abs(shift) >= VISIBLE_PX) setAnchor({ ...anchor, y: anchor.y + shift })
    // The height of a log that is drawn as a whole is known; of others an idea is enough, taken once.
    const measured = (last.bottom - first.top) / ((last.index + 1 - first.index) * lineHeight)
    const whole = first.index === 0 && last.index + 1 === g.lines
    if ((whole || factor === 1) && Math.abs(measured - factor) > 1e-6) setFactor(Math.max(1, measured))
  })

  /** The line at the top of the visible part, where the lines are drawn now. */
  const topRow = (): Row | undefined => rows().find(({ bottom }) => bottom > 0)

  const onScroll = () => {
    const element = scroller.current
    if (element === null || element.scrollTop === anchor.scrollTop) return
    const { scrollTop } = element
    const way = scrollTop - anchor.scrollTop
    const all = rows()
    const last = all.at(-1)
    const end = last !== undefined && last.index + 1 === g.lines && last.bottom <= g.viewport
    const row = all.find(({ bottom }) => bottom > 0)
    const short = Math.abs(way) <= shortWay(g) || (all[0]?.index === 0 && last?.index === g.lines - 1)
    const next =
      short && row !== undefined ? { line: row.index, y: row.top, scrollTop } : anchorOfScroll(scrollTop, g)
    atEnd.current = complete && end
    // In the same frame as the scroll, or the lines would trail behind it.
    flushSync(() => {
      setAnchor(next)
      if (following && way < 0 && !end) setFollowing(false)
      else if (!following && !complete && way > 0 && end) setFollowing(true)
    })
    if (scrollTop === 0 || scrollTop >= maxScroll(g)) rest()
  }

  /** Puts the scroll bar where it belongs; what is on screen does not move. */
  const rest = () => {
    const element = scroller.current
    const all = rows()
    const row = topRow()
    const last = all.at(-1)
    if (element === null || row === undefined || last === undefined) return
    const whole = all[0]?.index === 0 && last.index + 1 === g.lines
    if (whole) return
    const atStart = row.index === 0 && row.top >= -1
    const end = last.index + 1 === g.lines && last.bottom <= g.viewport + 1
    const hidden = Math.max(0, -row.top / Math.max(1, row.bottom - row.top))
    const belongs = atStart ? 0 : end ? maxScroll(g) : scrollOfLine(row.index, hidden, g)
    // An end of the scroll bar that is no end of the log leaves room to go on.
    const room = Math.max(1, Math.min(belongs, maxScroll(g) - 1))
    const scrollTop = atStart || end ? belongs : room
    if (Math.abs(scrollTop - element.scrollTop) >= 1)
      flushSync(() => moveTo({ line: row.index, y: row.top, scrollTop }))
  }

  return {
    scroller,
    g,
    anchor,
    range: wrappedRange(anchor, g),
    following,
    onScroll,
    onScrollEnd: rest,
    toLine,
    toStart,
    toEnd,
    leaveEnd,
    firstShown: () => topRow()?.index ?? anchor.line,
    selectedHere: (range: LineRange) => {
      shown.current = formatRange(range)
      leaveEnd()
    },
  }
}
