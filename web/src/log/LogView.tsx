/**
 * The log view. Whatever the size of the log, the page holds only the lines on screen and a few more;
 * `window.ts` has the geometry, `store.ts` the lines, `search.ts` the search.
 */

import {
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react'
import { flushSync } from 'react-dom'
import { logLines, rawLogUrl } from '../api/client'
import { describeError } from '../api/errors'
import type { Log } from '../api/types'
import { Button } from '../components/Button'
import { counted, formatCount } from '../lib/format'
import { LogLine } from './LogLine'
import { LogSearch } from './LogSearch'
import css from './LogView.module.css'
import { columns, MAX_SHOWN, plainText } from './line'
import type { Matcher } from './search'
import { LogStore } from './store'
import {
  formatRange,
  type Geometry,
  isAtEnd,
  type LineRange,
  needsSettling,
  type Position,
  positionOfEnd,
  positionOfLine,
  renderedRange,
  scrolled,
  scrollHeight,
  topOfLine,
  toScroll,
} from './window'

/** As in the style sheet. */
const LINE_HEIGHT = 20
const OVERSCAN = 20
/** When scrolling has rested so long, the scroll bar is put where it belongs. */
const SETTLE_MS = 140

interface Props {
  log: Log
  /** Where to start when no line is selected. */
  startAt: 'start' | 'end'
  selected?: LineRange | undefined
  onSelect?: (range: LineRange) => void
  /** A link to a line, to be copied. */
  linkTo: (range: LineRange) => string
  /** Fills the height of the page instead of being as high as its lines, up to a limit. */
  fill?: boolean
  /** Further controls, e.g. a link to the full view. */
  extra?: ReactNode
}

export function LogView({ log, startAt, selected, onSelect, linkTo, fill = false, extra }: Props) {
  const { logid, type } = log
  const store = useMemo(
    () => new LogStore((first, count, signal) => logLines(logid, first, count, signal)),
    [logid],
  )
  useEffect(() => {
    store.open()
    return () => store.close()
  }, [store])
  useSyncExternalStore(store.subscribe, store.version)
  // Growth reaches the store once per animation frame at most.
  useEffect(() => {
    const frame = requestAnimationFrame(() => store.grow(log.num_lines))
    return () => cancelAnimationFrame(frame)
  }, [store, log.num_lines])

  const scroller = useRef<HTMLDivElement>(null)
  const [viewport, setViewport] = useState(0)
  const [position, setPosition] = useState<Position>({ virtualTop: 0, scrollTop: 0 })
  const [following, setFollowing] = useState(!log.complete && startAt === 'end' && selected === undefined)
  const [matcher, setMatcher] = useState<Matcher>()
  const [current, setCurrent] = useState<number>()
  const [widest, setWidest] = useState(0)
  const settle = useRef<ReturnType<typeof setTimeout>>(undefined)
  const placed = useRef(false)
  // The end was asked for: it stays on screen when the height of the view changes.
  const atEnd = useRef(false)

  const count = store.count
  const g: Geometry = useMemo(() => ({ lines: count, lineHeight: LINE_HEIGHT, viewport }), [count, viewport])
  const range = renderedRange(position, g, OVERSCAN)

  useLayoutEffect(() => {
    const element = scroller.current
    if (element === null) return
    const measure = () => setViewport(element.clientHeight)
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  /** Moves both the log and the scroll bar. What is drawn and where it is drawn change in one go. */
  const moveTo = useCallback((next: Position) => {
    const element = scroller.current
    if (element === null) return
    element.scrollTop = next.scrollTop
    // The browser may have rounded or limited it.
    setPosition({ virtualTop: next.virtualTop, scrollTop: element.scrollTop })
  }, [])

  const goToLine = useCallback(
    (line: number) => {
      atEnd.current = false
      setFollowing(false)
      moveTo(positionOfLine(line, g))
    },
    [g, moveTo],
  )

  // The first position, once the height and the number of lines are known; then following the end.
  useLayoutEffect(() => {
    if (viewport === 0 || count === 0) return
    if (!placed.current) {
      placed.current = true
      if (selected !== undefined) moveTo(positionOfLine(selected.first, g))
      else if (startAt === 'end') {
        atEnd.current = true
        moveTo(positionOfEnd(g))
      }
    } else if (following || atEnd.current) moveTo(positionOfEnd(g))
  }, [g, viewport, count, following, selected, startAt, moveTo])

  // A line selected from outside: the address was edited, or a link followed.
  const wanted = selected && formatRange(selected)
  const shownRange = useRef(wanted)
  useEffect(() => {
    if (wanted === shownRange.current || !placed.current) return
    shownRange.current = wanted
    if (selected !== undefined) goToLine(selected.first)
  }, [wanted, selected, goToLine])

  useEffect(() => {
    store.want(range.first, range.end)
  }, [store, range.first, range.end])

  const onScroll = () => {
    const element = scroller.current
    if (element === null || element.scrollTop === position.scrollTop) return
    const next = scrolled(position, element.scrollTop, g)
    const back = next.virtualTop < position.virtualTop
    // In the same frame as the scroll, or the lines would trail behind it.
    atEnd.current = isAtEnd(next, g) && log.complete
    flushSync(() => {
      setPosition(next)
      if (following && back && !isAtEnd(next, g)) setFollowing(false)
      else if (!following && !log.complete && !back && isAtEnd(next, g)) setFollowing(true)
    })
    clearTimeout(settle.current)
    const rest = () => moveTo({ virtualTop: next.virtualTop, scrollTop: toScroll(next.virtualTop, g) })
    if (needsSettling(next, g)) rest()
    else settle.current = setTimeout(rest, SETTLE_MS)
  }
  useEffect(() => () => clearTimeout(settle.current), [])

  const lines: { index: number; raw: string | undefined }[] = []
  let columnsHere = 0
  for (let index = range.first; index < range.end; index++) {
    const raw = store.line(index)
    lines.push({ index, raw })
    if (raw !== undefined && raw.length > widest - 8)
      columnsHere = Math.max(columnsHere, Math.min(MAX_SHOWN + 50, columns(plainText(raw, type))))
  }
  // The width only grows, so that the horizontal scroll bar does not jump about.
  useEffect(() => {
    if (columnsHere > widest) setWidest(columnsHere)
  }, [columnsHere, widest])

  const select = (event: MouseEvent) => {
    const number = (event.target as Element).closest('[data-line]')?.getAttribute('data-line')
    if (number == null || onSelect === undefined) return
    const line = Number(number)
    const next =
      event.shiftKey && selected
        ? { first: Math.min(selected.first, line), last: Math.max(selected.first, line) }
        : { first: line, last: line }
    shownRange.current = formatRange(next)
    atEnd.current = false
    setFollowing(false)
    onSelect(next)
  }

  const toStart = () => {
    atEnd.current = false
    setFollowing(false)
    moveTo({ virtualTop: 0, scrollTop: 0 })
  }
  const toEnd = () => {
    atEnd.current = true
    moveTo(positionOfEnd(g))
    if (!log.complete) setFollowing(true)
  }
  const searchField = useRef<HTMLInputElement>(null)
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const actions: Record<string, () => void> = {
      g: toStart,
      G: toEnd,
      f: () => (following ? setFollowing(false) : toEnd()),
      '/': () => searchField.current?.focus(),
    }
    const action = actions[event.key]
    if (action === undefined) return
    event.preventDefault()
    action()
  }

  const digits = Math.max(3, String(count).length)
  const failure = store.failure()
  const firstShown = Math.floor(position.virtualTop / LINE_HEIGHT)

  return (
    <div
      className={css.view}
      data-fill={fill || undefined}
      style={{ '--digits': digits } as React.CSSProperties}
    >
      <div className={css.toolbar} role="toolbar" aria-label={`Log ${log.name}`}>
        <span className={css.size}>
          {counted(count, 'line')}
          {!log.complete && <span className={css.growing}> · growing</span>}
        </span>
        <LogSearch
          log={log}
          lines={count}
          from={() => firstShown}
          inputRef={searchField}
          onMatcher={(next) => setMatcher(() => next)}
          onGo={(line) => {
            setCurrent(line)
            if (line !== undefined) goToLine(line)
          }}
        />
        <div className={css.buttons}>
          {selected && <CopyLink url={linkTo(selected)} range={selected} />}
          <Button small kind="quiet" onClick={toStart} title="Jump to the start (g)">
            ⤒ Start
          </Button>
          <Button small kind="quiet" onClick={toEnd} title="Jump to the end (G)">
            ⤓ End
          </Button>
          {!log.complete && (
            <Button
              small
              kind="quiet"
              aria-pressed={following}
              onClick={() => (following ? setFollowing(false) : toEnd())}
              title="Stay at the end while the log grows (f)"
            >
              Follow
            </Button>
          )}
          <a className={css.raw} href={rawLogUrl(logid)} download>
            Download
          </a>
          <a className={css.raw} href={rawLogUrl(logid, true)} target="_blank" rel="noreferrer">
            Raw
          </a>
          {extra}
        </div>
      </div>
      {failure && (
        <div className={css.failure} role="alert">
          <span>
            Could not load lines {formatCount(failure.first + 1)} to {formatCount(failure.end)}:{' '}
            {describeError(failure.error)}
          </span>
          <Button small onClick={() => store.retry()}>
            Retry
          </Button>
        </div>
      )}
      <section
        ref={scroller}
        className={css.scroller}
        style={fill ? undefined : { height: `min(${count * LINE_HEIGHT + 24}px, 60vh)` }}
        aria-label={`Log ${log.name}, ${counted(count, 'line')}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
        onScroll={onScroll}
        onClick={select}
        onKeyDown={onKey}
      >
        {count === 0 && (
          <p className={css.nothing}>
            {log.complete ? 'This log is empty.' : 'Nothing has been written yet.'}
          </p>
        )}
        <div
          className={css.space}
          style={{ height: scrollHeight(g), minWidth: `max(100%, calc(var(--gutter) + ${widest + 8}ch))` }}
        >
          <div className={css.window} style={{ top: topOfLine(range.first, position, g) }}>
            {lines.map(({ index, raw }) => (
              <LogLine
                key={index}
                index={index}
                raw={raw}
                type={type}
                matcher={matcher}
                current={index === current}
                selected={selected !== undefined && index >= selected.first && index <= selected.last}
              />
            ))}
          </div>
        </div>
      </section>
    </div>
  )
}

function CopyLink({ url, range }: { url: string; range: LineRange }) {
  const [copied, setCopied] = useState<boolean>()
  useEffect(() => {
    if (copied === undefined) return
    const timer = setTimeout(() => setCopied(undefined), 2000)
    return () => clearTimeout(timer)
  }, [copied])
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(url)
      setCopied(true)
    } catch {
      // Without https there is no clipboard; the address bar has the same link.
      setCopied(false)
    }
  }
  return (
    <Button small onClick={() => void copy()} title={url}>
      <span aria-live="polite">
        {copied === undefined
          ? `Copy link to ${formatRange(range)}`
          : copied
            ? 'Copied'
            : 'Copy it from the address bar'}
      </span>
    </Button>
  )
}
