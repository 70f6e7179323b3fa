/** The lines of a log on screen, each as long as it is or wrapped. What both have in common is here. */

import {
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  type Ref,
  type RefObject,
  useEffect,
  useImperativeHandle,
  useState,
} from 'react'
import type { Log } from '../api/types'
import { counted } from '../lib/format'
import { LogLine } from './LogLine'
import css from './LogView.module.css'
import { MAX_SHOWN, shownColumns } from './line'
import type { Matcher } from './search'
import type { LogStore } from './store'
import { usePosition } from './usePosition'
import { useWrapped } from './useWrapped'
import { END_PADDING, type LineRange, renderedRange, scrollHeight, topOfLine } from './window'
import { wrappedHeight } from './wrapped'

/** As in the style sheet. */
const LINE_HEIGHT = 20
const OVERSCAN = 20

/** What the controls around the lines can do. */
export interface LinesHandle {
  toLine: (line: number) => void
  toStart: () => void
  toEnd: () => void
  leaveEnd: () => void
  firstShown: () => number
}

export interface LinesProps {
  ref: Ref<LinesHandle>
  log: Log
  store: LogStore
  count: number
  startAt: 'start' | 'end'
  startLine: number | undefined
  selected: LineRange | undefined
  onSelect: ((range: LineRange) => void) | undefined
  onFollowing: (following: boolean) => void
  onKey: (event: KeyboardEvent) => void
  matcher: Matcher | undefined
  /** The match that search stands at. */
  current: number | undefined
  /** Fills the height that there is. */
  fill: boolean
}

/** What the two ways to place lines have in common. */
type Placing = LinesHandle & {
  scroller: RefObject<HTMLElement | null>
  following: boolean
  selectedHere: (range: LineRange) => void
}

/** Reports to the outside, and tells the store what is looked at. */
function useLines(props: LinesProps, placing: Placing, range: { first: number; end: number }) {
  const { ref, store, onFollowing } = props
  const { toLine, toStart, toEnd, leaveEnd, firstShown, following } = placing
  useImperativeHandle(ref, () => ({ toLine, toStart, toEnd, leaveEnd, firstShown }))
  useEffect(() => onFollowing(following), [onFollowing, following])
  useEffect(() => {
    store.want(range.first, range.end)
  }, [store, range.first, range.end])
}

function Scroller({
  props,
  placing,
  height,
  children,
  onScroll,
  onScrollEnd,
  onKeyDown,
}: {
  props: LinesProps
  placing: Placing
  /** Of the lines; a part of the page is only as high as they are, up to a limit. */
  height: number
  children: ReactNode
  onScroll: () => void
  onScrollEnd: () => void
  onKeyDown: (event: KeyboardEvent) => void
}) {
  const { log, count, selected, onSelect } = props
  const select = (event: MouseEvent) => {
    const number = (event.target as Element).closest('[data-line]')?.getAttribute('data-line')
    if (number == null || onSelect === undefined) return
    const line = Number(number)
    const next =
      event.shiftKey && selected
        ? { first: Math.min(selected.first, line), last: Math.max(selected.first, line) }
        : { first: line, last: line }
    placing.selectedHere(next)
    onSelect(next)
  }
  return (
    <section
      ref={placing.scroller}
      className={css.scroller}
      style={props.fill ? undefined : { height: `min(${height + 12}px, 60vh)` }}
      aria-label={`Log ${log.name}, ${counted(count, 'line')}`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      onScroll={onScroll}
      onScrollEnd={onScrollEnd}
      onClick={select}
      onKeyDown={onKeyDown}
    >
      {count === 0 && (
        <p className={css.nothing}>{log.complete ? 'This log is empty.' : 'Nothing has been written yet.'}</p>
      )}
      {children}
    </section>
  )
}

/** The lines from `first` to before `end`. */
function rowsOf({ log, store, selected, matcher, current }: LinesProps, first: number, end: number) {
  return Array.from({ length: Math.max(0, end - first) }, (_, i) => {
    const index = first + i
    return (
      <LogLine
        key={index}
        index={index}
        raw={store.line(index)}
        type={log.type}
        matcher={matcher}
        current={index === current}
        selected={selected !== undefined && index >= selected.first && index <= selected.last}
      />
    )
  })
}

/** Each line as long as it is: all have the same height, and the view scrolls sideways. */
export function LongLines(props: LinesProps) {
  const { log, store, count, startAt, startLine, selected, onKey } = props
  const { complete } = log
  const at = usePosition({ count, lineHeight: LINE_HEIGHT, complete, startAt, startLine, selected })
  const { g, position } = at
  const range = renderedRange(position, g, OVERSCAN)
  const placing = { ...at, firstShown: () => Math.floor(position.virtualTop / LINE_HEIGHT) }
  useLines(props, placing, range)

  // The width only grows, so that the horizontal scroll bar does not jump about.
  const [widest, setWidest] = useState(0)
  let here = 0
  for (let index = range.first; index < range.end && widest < MAX_SHOWN; index++) {
    const raw = store.line(index)
    if (raw !== undefined && raw.length > widest - 8) here = Math.max(here, shownColumns(raw, log.type))
  }
  useEffect(() => {
    if (here > widest) setWidest(here)
  }, [here, widest])

  return (
    <Scroller
      props={props}
      placing={placing}
      height={count * LINE_HEIGHT + END_PADDING}
      onScroll={at.onScroll}
      onScrollEnd={at.onScrollEnd}
      onKeyDown={onKey}
    >
      <div
        className={css.space}
        style={{ height: scrollHeight(g), minWidth: `max(100%, calc(var(--gutter) + ${widest + 8}ch))` }}
      >
        <div className={css.window} style={{ top: topOfLine(range.first, position, g) }}>
          {rowsOf(props, range.first, range.end)}
        </div>
      </div>
    </Scroller>
  )
}

/** Long lines go on below, as wide as the view. */
export function WrappedLines(props: LinesProps) {
  const { log, count, startAt, startLine, selected, onKey } = props
  const { complete } = log
  const at = useWrapped({ count, lineHeight: LINE_HEIGHT, complete, startAt, startLine, selected })
  const { g, anchor, range } = at
  useLines(props, at, range)
  const onKeyDown = (event: KeyboardEvent) => {
    // Where the scroll bar ends is only a guess here.
    const ends = { Home: at.toStart, End: at.toEnd }[event.key]
    if (ends === undefined || event.ctrlKey || event.metaKey || event.altKey) return onKey(event)
    event.preventDefault()
    ends()
  }
  const top = anchor.scrollTop + anchor.y
  const middle = Math.max(range.first, Math.min(anchor.line, range.end))
  return (
    <Scroller
      props={props}
      placing={at}
      height={wrappedHeight(g)}
      onScroll={at.onScroll}
      onScrollEnd={at.onScrollEnd}
      onKeyDown={onKeyDown}
    >
      <div className={css.space} style={{ height: wrappedHeight(g) }} data-wrapped="">
        {/* Two parts that meet at the anchor, so that no height has to be known. */}
        <div className={css.window} style={{ top, transform: 'translateY(-100%)' }}>
          {rowsOf(props, range.first, middle)}
        </div>
        <div className={css.window} style={{ top }}>
          {rowsOf(props, middle, range.end)}
        </div>
      </div>
    </Scroller>
  )
}
