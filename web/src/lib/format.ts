/** Numbers, dates and durations as text. The language is the browser's. */

const dateTime = new Intl.DateTimeFormat(undefined, {
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
})
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'narrow' })
const integer = new Intl.NumberFormat()

export const formatDate = (seconds: number): string => dateTime.format(seconds * 1000)
export const formatCount = (n: number): string => integer.format(n)

/** "3 builds", "1 build". */
export const counted = (n: number, one: string, many = `${one}s`): string =>
  `${formatCount(n)} ${n === 1 ? one : many}`

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
]

/** "5 min. ago"; under a minute "just now", because seconds would only flicker. */
export function formatAgo(seconds: number, now: number): string {
  const difference = seconds - now
  const size = Math.abs(difference)
  for (const [unit, length] of STEPS) {
    if (size >= length) return relative.format(Math.trunc(difference / length), unit)
  }
  return difference > 5 ? 'in a moment' : 'just now'
}

/** "8 s", "2:05", "1:02:03", "3 d 4:05:06". Never negative: clocks of two machines may differ. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  if (whole < 60) return `${whole} s`
  const two = (n: number) => String(n).padStart(2, '0')
  const s = whole % 60
  const m = Math.floor(whole / 60) % 60
  const h = Math.floor(whole / 3600) % 24
  const d = Math.floor(whole / 86_400)
  if (whole < 3600) return `${m}:${two(s)}`
  if (d === 0) return `${h}:${two(m)}:${two(s)}`
  return `${d} d ${h}:${two(m)}:${two(s)}`
}

/** ISO 8601 duration for `<time datetime>`. */
export const isoDuration = (seconds: number): string => `PT${Math.max(0, Math.floor(seconds))}S`

/** A full commit hash is shortened; anything else is kept. */
export const shortRevision = (revision: string): string =>
  /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(revision) ? revision.slice(0, 10) : revision

/** The name of `Name <mail@example.org>`. */
export function personName(person: string): string {
  const name = /^\s*(.*?)\s*<[^>]*>\s*$/.exec(person)?.[1]
  return name === undefined || name === '' ? person.trim() : name
}

export const firstLine = (text: string): string => text.trimStart().split('\n', 1)[0] ?? ''
