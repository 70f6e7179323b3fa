import type { CSSProperties } from 'react'
import { type Status, statusWord } from '../lib/results'
import css from './Status.module.css'

const STROKES: Readonly<Record<Status, string>> = {
  success: 'M4.7 8.3l2.3 2.3 4.3-4.9',
  warnings: 'M8 4.4v4.3M8 11.5v.01',
  failure: 'M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2',
  skipped: 'M4.7 5.2L7.5 8l-2.8 2.8M8.5 5.2L11.3 8l-2.8 2.8',
  exception: 'M8.9 3.9L5.7 8.6h4.6L7.1 12.3',
  retry: 'M11.3 8.6A3.4 3.4 0 1 1 10.4 5.7M10.9 3.9v2.2H8.7',
  cancelled: 'M5 8h6',
  running: 'M6.7 5.3L10.9 8l-4.2 2.7z',
  pending: 'M8 5v3.2l2 1.3',
  unknown: 'M6.2 6.4a1.8 1.8 0 1 1 2.5 1.7c-.5.2-.7.5-.7 1M8 11.5v.01',
}

/** The sign of a status; a running one turns. Its name is for screen readers unless `label` is empty. */
export function StatusIcon({ status, size = 16, label }: { status: Status; size?: number; label?: string }) {
  const name = label ?? statusWord(status)
  return (
    <svg
      className={css.icon}
      data-status={status}
      width={size}
      height={size}
      viewBox="0 0 16 16"
      role={name === '' ? undefined : 'img'}
      aria-label={name === '' ? undefined : name}
      aria-hidden={name === '' ? true : undefined}
    >
      {status === 'running' ? (
        <>
          <circle cx="8" cy="8" r="6.4" className={css.track} />
          <circle cx="8" cy="8" r="6.4" className={css.arc} />
          <circle cx="8" cy="8" r="2.2" className={css.core} />
        </>
      ) : (
        <>
          <circle
            cx="8"
            cy="8"
            r={status === 'pending' ? 6.4 : 7.2}
            className={status === 'pending' ? css.ring : css.disc}
          />
          <path d={STROKES[status]} className={status === 'pending' ? css.inkStroke : css.stroke} />
        </>
      )}
    </svg>
  )
}

/** The bare sign inside a small square; used for rows of builds. */
export function StatusMark({ status }: { status: Status }) {
  return (
    <svg className={css.mark} width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
      <path d={STROKES[status]} />
    </svg>
  )
}

/** Sign and word together. */
export function StatusText({
  status,
  text,
  style,
}: {
  status: Status
  text?: string
  style?: CSSProperties
}) {
  return (
    <span className={css.text} data-status={status} style={style}>
      <StatusIcon status={status} label="" />
      <span>{text ?? statusWord(status)}</span>
    </span>
  )
}
