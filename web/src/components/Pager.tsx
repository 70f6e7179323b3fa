import { Link } from '@tanstack/react-router'
import { formatCount } from '../lib/format'
import css from './Pager.module.css'

/** Older and newer pages of a collection. `page` counts from 0; the address counts from 1. */
export function Pager({
  page,
  size,
  shown,
  total,
}: {
  page: number
  size: number
  shown: number
  total: number
}) {
  // A server may tell only the size of the page as total; a full page then means that there may be more.
  const more = total > shown ? (page + 1) * size < total : shown === size
  if (page === 0 && !more) return null
  const from = page * size + 1
  const target = (to: number) => ({
    to: '.' as const,
    search: { page: to > 0 ? to + 1 : undefined } as never,
  })
  return (
    <nav className={css.pager} aria-label="Pages">
      <span className={css.where}>
        {shown > 0 && `${formatCount(from)}–${formatCount(from + shown - 1)}`}
        {total > shown && ` of ${formatCount(total)}`}
      </span>
      {page > 0 && (
        <Link {...target(page - 1)} rel="prev">
          ← Newer
        </Link>
      )}
      {more && (
        <Link {...target(page + 1)} rel="next">
          Older →
        </Link>
      )}
    </nav>
  )
}
