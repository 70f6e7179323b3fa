/** The one way in which component tests render: all providers, a router in memory, a socket that a test works. */

import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createMemoryHistory, createRootRoute, createRouter, RouterProvider } from '@tanstack/react-router'
import { act, render } from '@testing-library/react'
import type { ReactNode } from 'react'
import { vi } from 'vitest'
import { SocketContext } from '../api/live'
import { EventSocket } from '../api/socket'
import { SessionProvider } from '../auth/session'
import { NoticeProvider } from '../components/Notices'
import { FakeSocket } from './FakeSocket'

/** A server for `fetch`: method and path (below the site root) → answer. Unknown paths get a 404. */
export function serve(routes: Record<string, (body: unknown) => Response | Promise<Response>>) {
  const asked: { route: string; body: unknown }[] = []
  const all: typeof routes = {
    'GET config': () => Response.json({ title: 'CI', versions: [], user: { anonymous: true } }),
    ...routes,
  }
  vi.stubGlobal('fetch', async (url: string, init?: RequestInit) => {
    const { pathname, search } = new URL(url)
    const body = typeof init?.body === 'string' ? JSON.parse(init.body) : undefined
    const route = `${init?.method ?? 'GET'} ${pathname.slice(1)}${search}`
    asked.push({ route, body })
    return (await all[route]?.(body)) ?? Response.json({ error: `nothing at ${route}` }, { status: 404 })
  })
  return asked
}

export async function show(content: ReactNode) {
  const sockets: FakeSocket[] = []
  const socket = new EventSocket(() => {
    const one = new FakeSocket()
    sockets.push(one)
    return one
  })
  socket.start()
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  const router = createRouter({
    routeTree: createRootRoute({ component: () => content }),
    history: createMemoryHistory(),
    defaultPendingMinMs: 0,
  })
  const view = render(
    <QueryClientProvider client={queries}>
      <SocketContext value={socket}>
        <NoticeProvider>
          <SessionProvider>
            {/* biome-ignore lint/suspicious/noExplicitAny: the registered type is that of the real router */}
            <RouterProvider router={router as any} />
          </SessionProvider>
        </NoticeProvider>
      </SocketContext>
    </QueryClientProvider>,
  )
  await act(() => router.load())
  return { ...view, sockets, socket, router }
}
