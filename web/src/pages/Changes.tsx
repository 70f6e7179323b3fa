import { useSearch } from '@tanstack/react-router'
import { useLive } from '../api/live'
import { changesPage } from '../api/queries'
import { ChangeList } from '../components/ChangeList'
import { Page, Panel } from '../components/Page'
import { Pager } from '../components/Pager'
import { Empty, Loaded } from '../components/States'

const PAGE_SIZE = 50

export function Changes() {
  const search = useSearch({ from: '/changes' })
  const page = (search.page ?? 1) - 1
  const changes = useLive(changesPage(page, PAGE_SIZE))
  return (
    <Page title="Changes">
      <Panel title="Newest first">
        <Loaded query={changes} what="the changes">
          {({ items, total }) =>
            items.length > 0 ? (
              <>
                <ChangeList changes={items} />
                <Pager page={page} size={PAGE_SIZE} shown={items.length} total={total} />
              </>
            ) : (
              <Empty title={page > 0 ? 'There are no older changes' : 'No change has arrived yet'}>
                {page === 0 &&
                  'Configure a poller for your repository, or send changes to the hook at /change_hook/base of this site.'}
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}
