/** Where the reader is in a log: scrolling, jumps, following the end. The arithmetic is in `window.ts`. */

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { flushSync } from 'react-dom'
import {
  formatRange,
  type Geometry,
  isAtEnd,
  isScaled,
  type LineRange,
  needsSettling,
  type Position,
  positionOfEnd,
  positionOfLine,
  restingScroll,
  scrolled,
} from './window'

/**
 * When scrolling has rested so long, the scroll bar is put where it belongs. Only for browsers without
 * `scrollend`: on a slow machine a smooth scroll may pause for longer, and to set its position then would end it.
 */
const SETTLE_MS = 400
const TELLS_END = typeof window !== 'undefined' && 'onscrollend' in window

export function usePosition({
  count,
  lineHeight,
  complete,
  startAt,
  startLine,
  selected,
}: {
  /** Lines of the log, so far. */
  count: number
  lineHeight: number
  complete: boolean
  /** Where to start when no line is selected. */
  startAt: 'start' | 'end'
  /** Goes before `startAt`: the line that was at the top before. */
  startLine: number | undefined
  selected: LineRange | undefined
}) {
  const scroller = useRef<HTMLElement>(null)
  const [viewport, setViewport] = useState(0)
  const [position, setPosition] = useState<Position>({ virtualTop: 0, scrollTop: 0 })
  const [following, setFollowing] = useState(
    !complete && startAt === 'end' && selected === undefined && startLine === undefined,
  )
  const settle = useRef<ReturnType<typeof setTimeout>>(undefined)
  const placed = useRef(false)
  // The end was asked for: it stays on screen when the height of the view changes.
  const atEnd = useRef(false)
  const g: Geometry = useMemo(() => ({ lines: count, lineHeight, viewport }), [count, lineHeight, viewport])

  useLayoutEffect(() => {
    const element = scroller.current
    if (element === null) return
    const measure = () => setViewport(element.clientHeight)
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  useEffect(() => () => clearTimeout(settle.current), [])

  /** Moves both the log and the scroll bar. What is drawn and where it is drawn change in one go. */
  const moveTo = useCallback((next: Position) => {
    const element = scroller.current
    if (element === null) return
    clearTimeout(settle.current)
    element.scrollTop = next.scrollTop
    // The browser may have rounded or limited it.
    setPosition({ virtualTop: next.virtualTop, scrollTop: element.scrollTop })
  }, [])

  /** Ends following and holding the end; the reader wants to be somewhere else. */
  const leaveEnd = useCallback(() => {
    atEnd.current = false
    setFollowing(false)
  }, [])

  const toLine = useCallback(
    (line: number) => {
      leaveEnd()
      moveTo(positionOfLine(line, g))
    },
    [g, leaveEnd, moveTo],
  )
  const toStart = useCallback(() => {
    leaveEnd()
    moveTo({ virtualTop: 0, scrollTop: 0 })
  }, [leaveEnd, moveTo])
  const toEnd = useCallback(() => {
    atEnd.current = true
    moveTo(positionOfEnd(g))
    if (!complete) setFollowing(true)
  }, [g, complete, moveTo])

  // The first position, once the height and the number of lines are known; then holding the end.
  useLayoutEffect(() => {
    if (viewport === 0 || count === 0) return
    if (!placed.current) {
      placed.current = true
      if (startLine !== undefined) moveTo(positionOfLine(startLine, g, 'top'))
      else if (selected !== undefined) moveTo(positionOfLine(selected.first, g))
      else if (startAt === 'end') {
        atEnd.current = true
        moveTo(positionOfEnd(g))
      }
    } else if (following || atEnd.current) moveTo(positionOfEnd(g))
  }, [g, viewport, count, following, selected, startAt, startLine, moveTo])

  // A line selected from outside: the address was edited, or a link followed.
  const wanted = selected && formatRange(selected)
  const shown = useRef(wanted)
  useEffect(() => {
    if (wanted === shown.current || !placed.current) return
    shown.current = wanted
    if (selected !== undefined) toLine(selected.first)
  }, [wanted, selected, toLine])

  const onScroll = () => {
    const element = scroller.current
    if (element === null || element.scrollTop === position.scrollTop) return
    const next = scrolled(position, element.scrollTop, g)
    const back = next.virtualTop < position.virtualTop
    const end = isAtEnd(next, g)
    atEnd.current = end && complete
    // In the same frame as the scroll, or the lines would trail behind it.
    flushSync(() => {
      setPosition(next)
      if (following && back && !end) setFollowing(false)
      else if (!following && !complete && !back && end) setFollowing(true)
    })
    clearTimeout(settle.current)
    if (!isScaled(g)) return
    if (needsSettling(next, g)) rest(next)
    else if (!TELLS_END) settle.current = setTimeout(() => rest(next), SETTLE_MS)
  }

  /** Puts the scroll bar where it belongs; what is on screen does not move. */
  const rest = (at: Position) => {
    const scrollTop = restingScroll(at, g)
    if (scrollTop !== undefined) moveTo({ virtualTop: at.virtualTop, scrollTop })
  }

  return {
    scroller,
    g,
    position,
    following,
    onScroll,
    onScrollEnd: () => rest(position),
    toLine,
    toStart,
    toEnd,
    leaveEnd,
    /** Tells that a range was selected by a click in the log itself, so that it is not jumped to. */
    selectedHere: (range: LineRange) => {
      shown.current = formatRange(range)
      leaveEnd()
    },
  }
}
