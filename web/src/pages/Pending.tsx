import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { useLive } from '../api/live'
import { pendingRequests } from '../api/queries'
import { Button } from '../components/Button'
import { Count, Page, Panel } from '../components/Page'
import { RequestTable } from '../components/RequestTable'
import { Empty, Loaded } from '../components/States'
import { formatCount } from '../lib/format'

const MORE = 100

export function Pending() {
  const pending = useLive(pendingRequests())
  const [shown, setShown] = useState(MORE)
  const total = pending.data?.total
  return (
    <Page
      title={total ? `${formatCount(total)} pending` : 'Pending'}
      heading="Pending requests"
      lead="Requests that no worker builds yet, in the order in which they are taken."
    >
      <Panel title={<>Waiting {total !== undefined && <Count>{formatCount(total)}</Count>}</>}>
        <Loaded query={pending} what="the pending requests">
          {({ items }) =>
            items.length > 0 ? (
              <>
                <RequestTable requests={items.slice(0, shown)} />
                {items.length > shown && (
                  <p style={{ padding: '10px 16px' }}>
                    <Button onClick={() => setShown(shown + MORE)}>
                      Show {formatCount(Math.min(MORE, items.length - shown))} more
                    </Button>
                  </p>
                )}
              </>
            ) : (
              <Empty title="Nothing is waiting">
                Everything that was asked for is running or done. See the <Link to="/">overview</Link>.
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}
