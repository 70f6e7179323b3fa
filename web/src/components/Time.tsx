import { useNow } from '../lib/clock'
import { formatAgo, formatDate, formatDuration, isoDuration } from '../lib/format'

/** A point in time, relative, with the exact date on hover. */
export function Ago({ at }: { at: number }) {
  const now = useNow()
  return (
    <time dateTime={new Date(at * 1000).toISOString()} title={formatDate(at)}>
      {formatAgo(at, now)}
    </time>
  )
}

/** A point in time, exactly. */
export function At({ at }: { at: number }) {
  return <time dateTime={new Date(at * 1000).toISOString()}>{formatDate(at)}</time>
}

/** From start to end; ticks while there is no end. */
export function Duration({ from, to }: { from: number; to: number | null }) {
  const now = useNow(to === null)
  const seconds = (to ?? now) - from
  // Times are whole seconds: what took none took less than one.
  const text = to !== null && seconds < 1 ? '< 1 s' : formatDuration(seconds)
  return <time dateTime={isoDuration(seconds)}>{text}</time>
}
