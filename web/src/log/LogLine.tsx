import { memo } from 'react'
import type { LogType } from '../api/types'
import { formatCount } from '../lib/format'
import css from './LogView.module.css'
import { findLinks, markSpans, type Span, type Stream, shownSpans, splitStream } from './line'
import type { Matcher } from './search'

const STREAM_TAG: Readonly<Record<Stream, string>> = { o: '', e: 'err', h: 'info', i: 'in' }
const STREAM_NAME: Readonly<Record<Stream, string>> = {
  o: '',
  e: 'standard error',
  h: 'header, written by the master',
  i: 'standard input',
}

const classOf = (span: Span, marked: boolean): string | undefined => {
  const names = span.classes.map((name) => css[name]).filter(Boolean)
  if (marked && css.hit) names.push(css.hit)
  return names.length > 0 ? names.join(' ') : undefined
}

const styleOf = (span: Span) =>
  span.color === undefined && span.background === undefined
    ? undefined
    : { color: span.color, backgroundColor: span.background }

/** A line that is in memory. Memoised: scrolling re-renders only lines that come in. */
const Content = memo(function Content({
  raw,
  type,
  matcher,
}: {
  raw: string
  type: LogType
  matcher: Matcher | undefined
}) {
  const { stream, text, cut } = splitStream(raw, type)
  const { spans, rest } = shownSpans(text)
  const shown = spans.map((span) => span.text).join('')
  const hits = matcher?.(shown) ?? []
  const links = shown.includes('http') ? findLinks(shown) : []
  let at = 0
  return (
    <>
      <span className={css.tag} title={STREAM_NAME[stream] || undefined}>
        {STREAM_TAG[stream]}
      </span>
      <span className={css.text} data-text="">
        {markSpans(spans, hits).map((span) => {
          const start = at
          at += span.text.length
          const link = links.find(([from, to]) => start >= from && start < to)
          const props = { className: classOf(span, span.marked), style: styleOf(span) }
          if (link !== undefined || links.some(([from]) => from >= start && from < at)) {
            return (
              <Linked key={start} text={span.text} start={start} links={links} whole={shown} {...props} />
            )
          }
          return props.className === undefined && props.style === undefined ? (
            span.text
          ) : (
            <span key={start} {...props}>
              {span.text}
            </span>
          )
        })}
        {(cut || rest > 0) && (
          <span className={css.cut}>
            … {cut ? `more than ${formatCount(rest)}` : formatCount(rest)} more characters, see the raw log
          </span>
        )}
      </span>
    </>
  )
})

/** A span with an address in it, or a part of one. */
function Linked({
  text,
  start,
  links,
  whole,
  ...props
}: {
  text: string
  start: number
  links: readonly (readonly [number, number])[]
  whole: string
  className: string | undefined
  style: ReturnType<typeof styleOf>
}) {
  const pieces = markSpans(
    [{ text, classes: [] }],
    links.map(([a, b]) => [a - start, b - start] as const),
  )
  let at = start
  return (
    <span {...props}>
      {pieces.map((piece) => {
        const from = at
        at += piece.text.length
        const link = links.find(([a, b]) => from >= a && from < b)
        return piece.marked && link ? (
          <a key={from} href={whole.slice(...link)} target="_blank" rel="noopener noreferrer" tabIndex={-1}>
            {piece.text}
          </a>
        ) : (
          piece.text
        )
      })}
    </span>
  )
}

/** One line, in memory or not. */
export const LogLine = memo(function LogLine({
  index,
  raw,
  type,
  selected,
  current,
  matcher,
}: {
  index: number
  raw: string | undefined
  type: LogType
  selected: boolean
  /** The match that search stands at. */
  current: boolean
  matcher: Matcher | undefined
}) {
  return (
    <div
      className={css.line}
      data-stream={raw === undefined ? undefined : splitStream(raw, type).stream}
      data-selected={selected || undefined}
      data-current={current || undefined}
    >
      <button
        type="button"
        tabIndex={-1}
        className={css.number}
        data-line={index}
        aria-label={`Line ${index + 1}`}
      >
        {index + 1}
      </button>
      {raw === undefined ? (
        <span className={css.missing} aria-hidden="true">
          ·
        </span>
      ) : (
        <Content raw={raw} type={type} matcher={matcher} />
      )}
    </div>
  )
})
