/**
 * The log view. Whatever the size of the log, the page holds only the lines on screen and a few more;
 * `window.ts` has the geometry, `usePosition.ts` the scrolling, `store.ts` the lines, `search.ts` the search.
 */

import {
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react'
import { logLines, rawLogUrl } from '../api/client'
import { describeError } from '../api/errors'
import type { Log } from '../api/types'
import { Button } from '../components/Button'
import { counted, formatCount } from '../lib/format'
import { CopyLink } from './CopyLink'
import { LogLine } from './LogLine'
import { LogSearch } from './LogSearch'
import css from './LogView.module.css'
import { columns, MAX_SHOWN, plainText } from './line'
import type { Matcher } from './search'
import { LogStore } from './store'
import { usePosition } from './usePosition'
import { type LineRange, renderedRange, scrollHeight, topOfLine } from './window'

/** As in the style sheet. */
const LINE_HEIGHT = 20
const OVERSCAN = 20

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

  const count = store.count
  const {
    scroller,
    g,
    position,
    following,
    onScroll,
    onScrollEnd,
    toLine,
    toStart,
    toEnd,
    leaveEnd,
    selectedHere,
  } = usePosition({ count, lineHeight: LINE_HEIGHT, complete: log.complete, startAt, selected })
  const range = renderedRange(position, g, OVERSCAN)
  const [matcher, setMatcher] = useState<Matcher>()
  const [current, setCurrent] = useState<number>()
  const [widest, setWidest] = useState(0)

  useEffect(() => {
    store.want(range.first, range.end)
  }, [store, range.first, range.end])

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
    selectedHere(next)
    onSelect(next)
  }

  const searchField = useRef<HTMLInputElement>(null)
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const actions: Record<string, () => void> = {
      g: toStart,
      G: toEnd,
      f: () => (following ? leaveEnd() : toEnd()),
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
            if (line !== undefined) toLine(line)
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
              onClick={() => (following ? leaveEnd() : toEnd())}
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
        onScrollEnd={onScrollEnd}
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
