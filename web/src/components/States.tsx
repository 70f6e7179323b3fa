/** What a place shows instead of its content: a failure with a retry, emptiness with a hint, or a wait. */

import { type ReactNode, useEffect, useState } from 'react'
import { describeError } from '../api/errors'
import { Button } from './Button'
import css from './States.module.css'
import { StatusIcon } from './Status'

/** `what` completes "Could not load …". */
export function Failure({ what, error, retry }: { what: string; error: unknown; retry?: () => unknown }) {
  return (
    <div className={css.failure} role="alert">
      <StatusIcon status="failure" label="" />
      <div>
        <p className={css.headline}>Could not load {what}</p>
        <p className={css.detail}>{describeError(error)}</p>
      </div>
      {retry && (
        <Button small onClick={() => void retry()}>
          Retry
        </Button>
      )}
    </div>
  )
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className={css.empty}>
      <p className={css.headline}>{title}</p>
      {children && <div className={css.hint}>{children}</div>}
    </div>
  )
}

/** Shows itself only after a moment, so that quick answers do not flicker. */
export function Loading({ what }: { what: string }) {
  const [slow, setSlow] = useState(false)
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 250)
    return () => clearTimeout(timer)
  }, [])
  return (
    <div className={css.loading} role="status">
      {slow && (
        <>
          <StatusIcon status="running" label="" /> Loading {what}…
        </>
      )}
    </div>
  )
}

interface QueryLike<T> {
  data: T | undefined
  error: unknown
  refetch: () => unknown
}

/**
 * The three states of a query in one place. Data that is there stays visible when a refetch fails, with
 * the failure above it.
 */
export function Loaded<T>({
  query,
  what,
  children,
}: {
  query: QueryLike<T>
  what: string
  children: (data: T) => ReactNode
}) {
  return (
    <>
      {query.error != null && <Failure what={what} error={query.error} retry={query.refetch} />}
      {query.data !== undefined ? children(query.data) : query.error == null && <Loading what={what} />}
    </>
  )
}
