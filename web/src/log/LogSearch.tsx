import { type RefObject, useCallback, useEffect, useRef, useState } from 'react'
import { describeError, isAbort } from '../api/errors'
import { logLines } from '../api/loglines'
import type { Log } from '../api/types'
import { Button } from '../components/Button'
import { counted, formatCount } from '../lib/format'
import css from './LogView.module.css'
import { type Matcher, makeMatcher, type Progress, scan, step } from './search'

/** Typing is followed by a search after this pause. */
const TYPING_MS = 350

/** The search field of a log: scans the whole log by ranges, can be stopped, steps through what it found. */
export function LogSearch({
  log,
  lines,
  from,
  inputRef,
  onMatcher,
  onGo,
}: {
  log: Log
  lines: number
  /** The first line on screen, where a search starts. */
  from: () => number
  inputRef: RefObject<HTMLInputElement | null>
  onMatcher: (matcher: Matcher | undefined) => void
  onGo: (line: number | undefined) => void
}) {
  const [text, setText] = useState('')
  const [caseSensitive, setCaseSensitive] = useState(false)
  const [regex, setRegex] = useState(false)
  const [progress, setProgress] = useState<Progress>()
  const [problem, setProblem] = useState<string>()
  const [failed, setFailed] = useState(false)
  const [at, setAt] = useState<number>()
  // Another try after a failure.
  const [attempt, setAttempt] = useState(0)
  const abort = useRef<AbortController>(undefined)
  const latest = useRef({ lines, from, onMatcher, onGo })
  latest.current = { lines, from, onMatcher, onGo }

  const stop = useCallback(() => {
    abort.current?.abort()
    abort.current = undefined
  }, [])

  // biome-ignore lint/correctness/useExhaustiveDependencies: `attempt` starts it again
  useEffect(() => {
    stop()
    setProgress(undefined)
    setProblem(undefined)
    setFailed(false)
    setAt(undefined)
    if (text === '') {
      latest.current.onMatcher(undefined)
      latest.current.onGo(undefined)
      return
    }
    let matcher: Matcher
    try {
      matcher = makeMatcher({ text, caseSensitive, regex })
    } catch (error) {
      latest.current.onMatcher(undefined)
      setProblem(describeError(error))
      return
    }
    latest.current.onMatcher(matcher)
    const own = new AbortController()
    const timer = setTimeout(() => {
      abort.current = own
      let arrived = false
      scan({
        fetch: (first, count, signal) => logLines(log.logid, first, count, signal),
        type: log.type,
        total: latest.current.lines,
        start: latest.current.from(),
        matcher,
        signal: own.signal,
        report: (next) => {
          setProgress(next)
          if (!arrived && next.first !== undefined) {
            arrived = true
            setAt(next.first)
            latest.current.onGo(next.first)
          }
        },
      }).catch((error) => {
        if (isAbort(error)) return
        setProblem(describeError(error))
        setFailed(true)
      })
    }, TYPING_MS)
    return () => {
      clearTimeout(timer)
      own.abort()
    }
  }, [text, caseSensitive, regex, log.logid, log.type, stop, attempt])

  const go = (way: 1 | -1) => {
    const line = step(progress?.matches ?? [], at ?? from() - 1, way)
    if (line === undefined) return
    setAt(line)
    onGo(line)
  }

  const matches = progress?.matches.length ?? 0
  const [stopped, setStopped] = useState(false)
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new search is not stopped
  useEffect(() => setStopped(false), [text, caseSensitive, regex, attempt])
  const scanning = progress?.state === 'scanning' && !stopped && problem === undefined
  const ordinal = at === undefined ? 0 : (progress?.matches.indexOf(at) ?? -1) + 1

  return (
    <search className={css.search}>
      <input
        ref={inputRef}
        type="search"
        value={text}
        placeholder="Search the log"
        aria-label="Search the log"
        aria-invalid={problem !== undefined || undefined}
        title="Search the whole log (/). Enter: next match, Shift+Enter: previous."
        spellCheck={false}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') go(event.shiftKey ? -1 : 1)
          if (event.key === 'Escape') setText('')
        }}
      />
      <Button
        small
        kind="quiet"
        aria-pressed={caseSensitive}
        aria-label="Match case"
        title="Match case"
        onClick={() => setCaseSensitive(!caseSensitive)}
      >
        Aa
      </Button>
      <Button
        small
        kind="quiet"
        aria-pressed={regex}
        aria-label="Regular expression"
        title="Regular expression"
        onClick={() => setRegex(!regex)}
      >
        .*
      </Button>
      {text !== '' && (
        <>
          <Button
            small
            kind="quiet"
            aria-label="Previous match"
            disabled={matches === 0}
            onClick={() => go(-1)}
          >
            ↑
          </Button>
          <Button small kind="quiet" aria-label="Next match" disabled={matches === 0} onClick={() => go(1)}>
            ↓
          </Button>
          <span className={css.found} role="status">
            {problem !== undefined ? (
              <span className={css.problem}>{problem}</span>
            ) : progress === undefined ? (
              ''
            ) : matches === 0 && !scanning ? (
              stopped ? (
                'stopped, nothing found'
              ) : (
                'nothing found'
              )
            ) : (
              `${ordinal > 0 ? `${formatCount(ordinal)} of ` : ''}${progress.state === 'full' ? 'more than ' : ''}${counted(matches, 'line')}`
            )}
            {(progress?.giants ?? 0) > 0 &&
              ` · ${counted(progress?.giants ?? 0, 'line')} too long to be searched whole`}
          </span>
          {failed && (
            <Button small onClick={() => setAttempt(attempt + 1)}>
              Retry
            </Button>
          )}
          {scanning && progress.total > 0 && (
            <>
              <progress
                className={css.progress}
                max={progress.total}
                value={progress.scanned}
                aria-label="Searched so far"
              />
              <Button
                small
                onClick={() => {
                  stop()
                  setStopped(true)
                }}
              >
                Stop
              </Button>
            </>
          )}
        </>
      )}
    </search>
  )
}
