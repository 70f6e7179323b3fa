import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import './app.css'
import { socketUrl } from './api/base'
import { ApiError } from './api/errors'
import { SocketContext } from './api/live'
import { EventSocket, type SocketLike } from './api/socket'
import { SessionProvider } from './auth/session'
import { guardLoginLinks } from './auth/token'
import { NoticeProvider } from './components/Notices'
import { makeRouter } from './router'

// First of all: a token must not stay in the address bar, nor reach the router.
guardLoginLinks()

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Events keep what is shown current; coming back to the window needs no fetch.
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      retry: (failures, error) =>
        failures < 2 &&
        !(error instanceof ApiError && error.kind !== 'unreachable' && (error.status ?? 500) < 500),
    },
  },
})

const socket = new EventSocket(() => new WebSocket(socketUrl()) as unknown as SocketLike)
// Whatever happened while the connection was lost: read everything again that is on the page.
socket.onResume(() => void queries.invalidateQueries())
socket.start()
window.addEventListener('online', socket.retryNow)
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') socket.retryNow()
})

const router = makeRouter()
const element = document.getElementById('root')
if (element === null) throw new Error('index.html has no #root')
createRoot(element).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <SocketContext value={socket}>
        <NoticeProvider>
          <SessionProvider>
            <RouterProvider router={router} />
          </SessionProvider>
        </NoticeProvider>
      </SocketContext>
    </QueryClientProvider>
  </StrictMode>,
)
