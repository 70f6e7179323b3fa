/**
 * The log view: the controls around the lines. Whatever the size of the log, the page holds only the lines on screen
 * and a few more; `LogLines.tsx` draws them, `window.ts` and `wrapped.ts` have the geometry, `usePosition.ts` and
 * `useWrapped.ts` the scrolling, `store.ts` the lines, `search.ts` the search.
 */

import {
  type KeyboardEvent,
  type ReactNode,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react'
import { rawLogUrl } from '../api/client'
import { describeError } from '../api/errors'
import { logLines } from '../api/loglines'
import type { Log } from '../api/types'
import { Button } from '../components/Button'
import { counted, formatCount } from '../lib/format'
import { CopyLink } from './CopyLink'
import { type LinesHandle, LongLines, WrappedLines } from './LogLines'
import { LogSearch } from './LogSearch'
import css from './LogView.module.css'
import type { Matcher } from './search'
import { LogStore } from './store'
import { useWrap } from './useWrap'
import type { LineRange } from './window'

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
  const { logid } = log
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
  const lines = useRef<LinesHandle>(null)
  const [following, setFollowing] = useState(false)
  const [wrap, toggleWrap] = useWrap()
  // Where the reader was when the lines were wrapped or unwrapped.
  const [startLine, setStartLine] = useState<number>()
  const [matcher, setMatcher] = useState<Matcher>()
  const [current, setCurrent] = useState<number>()
  const toStart = () => lines.current?.toStart()
  const toEnd = () => lines.current?.toEnd()
  const follow = () => (following ? lines.current?.leaveEnd() : toEnd())
  const changeWrap = () => {
    setStartLine(following ? undefined : lines.current?.firstShown())
    toggleWrap()
  }

  const searchField = useRef<HTMLInputElement>(null)
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const actions: Record<string, (() => void) | undefined> = {
      g: toStart,
      G: toEnd,
      f: follow,
      w: changeWrap,
      '/': () => searchField.current?.focus(),
    }
    const action = actions[event.key]
    if (action === undefined) return
    event.preventDefault()
    action()
  }

  const digits = Math.max(3, String(count).length)
  const failure = store.failure()
  const Lines = wrap ? WrappedLines : LongLines

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
          from={() => lines.current?.firstShown() ?? 0}
          inputRef={searchField}
          onMatcher={(next) => setMatcher(() => next)}
          onGo={(line) => {
            setCurrent(line)
            if (line !== undefined) lines.current?.toLine(line)
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
              onClick={follow}
              title="Stay at the end while the log grows (f)"
            >
              Follow
            </Button>
          )}
          <Button small kind="quiet" aria-pressed={wrap} onClick={changeWrap} title="Wrap long lines (w)">
            Wrap
          </Button>
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
      <Lines
        key={wrap ? 'wrapped' : 'long'}
        ref={lines}
        log={log}
        store={store}
        count={count}
        startAt={following ? 'end' : startAt}
        startLine={startLine}
        selected={selected}
        onSelect={onSelect}
        onFollowing={setFollowing}
        onKey={onKey}
        matcher={matcher}
        current={current}
        fill={fill}
      />
    </div>
  )
}
