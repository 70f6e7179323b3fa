/** Who is logged in, the login dialog, and control calls that ask for a login when one is needed. */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from 'react'
import { logOut } from '../api/client'
import { ApiError, describeError } from '../api/errors'
import { configQuery } from '../api/queries'
import type { SiteConfig, User } from '../api/types'
import { useNotify } from '../components/Notices'
import { LoginDialog } from './LoginDialog'

const UNKNOWN_SITE: SiteConfig = {
  title: 'Ironmaster',
  titleURL: '',
  buildbotURL: '',
  versions: [],
  user: { anonymous: true },
  auth: { name: 'Token' },
}

/** `/config`, or sensible values until it is there. */
export function useSite(): SiteConfig {
  const { data } = useQuery(configQuery)
  return data ?? UNKNOWN_SITE
}

export const userName = (user: User): string | undefined =>
  user.anonymous ? undefined : (user.full_name ?? user.username ?? user.email)

interface Session {
  user: User
  name: string | undefined
  /** Shows the login dialog; resolves to whether somebody is logged in afterwards. */
  login: (why?: string) => Promise<boolean>
  logout: () => Promise<void>
  /** Records a login that happened elsewhere (the login page). */
  accept: (user: User) => void
}

const SessionContext = createContext<Session | undefined>(undefined)

export function useSession(): Session {
  const session = useContext(SessionContext)
  if (session === undefined) throw new Error('SessionProvider is missing')
  return session
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient()
  const { user } = useSite()
  const [asking, setAsking] = useState<{ why: string | undefined } | undefined>(undefined)
  const waiting = useRef<((loggedIn: boolean) => void)[]>([])

  const accept = useCallback(
    (next: User) => {
      client.setQueryData<SiteConfig>(configQuery.queryKey, (site) => ({
        ...(site ?? UNKNOWN_SITE),
        user: next,
      }))
      void client.invalidateQueries()
    },
    [client],
  )
  const login = useCallback(
    (why?: string) =>
      new Promise<boolean>((resolve) => {
        waiting.current.push(resolve)
        setAsking((before) => before ?? { why })
      }),
    [],
  )
  const done = (loggedIn: boolean) => {
    setAsking(undefined)
    const resolvers = waiting.current
    waiting.current = []
    for (const resolve of resolvers) resolve(loggedIn)
  }
  const logout = useCallback(async () => {
    await logOut()
    accept({ anonymous: true })
  }, [accept])

  const session = useMemo(
    () => ({ user, name: userName(user), login, logout, accept }),
    [user, login, logout, accept],
  )
  return (
    <SessionContext value={session}>
      {children}
      {asking && (
        <LoginDialog
          why={asking.why}
          onClose={() => done(false)}
          onLogin={(next) => {
            accept(next)
            done(true)
          }}
        />
      )}
    </SessionContext>
  )
}

/** The user closed the login dialog; not a failure worth telling. */
class LoginDeclined extends Error {}

/**
 * A control action. On 403 it asks for a login, says why, and goes on after it. Failures are told in a
 * notice, unless the caller shows them itself (`quiet`), as forms do.
 *
 * `what` completes "… needs the admin token" and "Could not …", e.g. "stop the build".
 */
export function useControl<A, R>(
  what: string,
  action: (argument: A) => Promise<R>,
  options: { done?: string; quiet?: boolean; onSuccess?: (result: R, argument: A) => void } = {},
) {
  const { login } = useSession()
  const notify = useNotify()
  const mutation = useMutation<R, Error, A>({
    mutationFn: async (argument) => {
      try {
        return await action(argument)
      } catch (error) {
        if (!(error instanceof ApiError && error.kind === 'forbidden')) throw error
        const loggedIn = await login(`To ${what}, log in. The master said: ${describeError(error)}.`)
        if (!loggedIn) throw new LoginDeclined(`Not logged in, so could not ${what}.`)
        return await action(argument)
      }
    },
    onSuccess: (result, argument) => {
      if (options.done) notify('success', options.done)
      options.onSuccess?.(result, argument)
    },
    onError: (error, argument) => {
      if (options.quiet || error instanceof LoginDeclined) return
      notify('failure', `Could not ${what}: ${describeError(error)}`, () => mutation.mutate(argument))
    },
  })
  return mutation
}
