/** Pages without content of their own: redirects, and what is shown when there is no page. */

import { useQuery } from '@tanstack/react-query'
import { type ErrorComponentProps, Link, Navigate, useParams } from '@tanstack/react-router'
import { path } from '../api/base'
import { get } from '../api/client'
import type { ApiError } from '../api/errors'
import type { Build } from '../api/types'
import { Button } from '../components/Button'
import { Page } from '../components/Page'
import { Empty, Failure, Loading } from '../components/States'

/** `#/builds/28` leads to the build under its builder. */
export function BuildById() {
  const { buildid } = useParams({ from: '/builds/$buildid' })
  const query = useQuery<Build, ApiError>({
    queryKey: ['builds', 'one', buildid],
    queryFn: ({ signal }) => get('builds', path`builds/${buildid}`, {}, signal),
  })
  if (query.data)
    return (
      <Navigate
        to="/builders/$builder/builds/$number"
        params={{ builder: String(query.data.builderid), number: String(query.data.number) }}
        replace
      />
    )
  return (
    <Page title={`Build ${buildid}`}>
      {query.error ? (
        <Failure what={`build ${buildid}`} error={query.error} retry={query.refetch} />
      ) : (
        <Loading what="the build" />
      )}
    </Page>
  )
}

export function NotFound() {
  return (
    <Page title="No such page">
      <Empty title="There is no such page here">
        A bookmark of another CI's view, such as a waterfall or console, may have led here. Start from the{' '}
        <Link to="/">overview</Link> or the <Link to="/builders">builders</Link>.
      </Empty>
    </Page>
  )
}

/** A fault of this UI itself. */
export function RouteFailure({ error, reset }: ErrorComponentProps) {
  return (
    <Page title="Something broke" actions={<Button onClick={reset}>Try again</Button>}>
      <Failure what="this page, because of a fault in the UI itself" error={error} retry={reset} />
    </Page>
  )
}
