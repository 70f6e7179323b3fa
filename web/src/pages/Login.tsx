import { Link, useNavigate } from '@tanstack/react-router'
import { useEffect, useRef, useState } from 'react'
import { logIn } from '../api/client'
import { describeError } from '../api/errors'
import type { User } from '../api/types'
import { LoginForm } from '../auth/LoginDialog'
import { useSession } from '../auth/session'
import { onLinkedToken, takeLinkedToken } from '../auth/token'
import { useNotify } from '../components/Notices'
import { Page, Panel } from '../components/Page'
import { Loading } from '../components/States'

/** Where the login link leads. The token was taken out of the address before this page came up. */
export function Login() {
  const session = useSession()
  const navigate = useNavigate()
  const notify = useNotify()
  const [trying, setTrying] = useState(false)
  const [problem, setProblem] = useState<string>()
  const accepted = (user: User) => {
    session.accept(user)
    notify('success', 'You are logged in.')
    void navigate({ to: '/', replace: true })
  }
  const followLink = () => {
    const token = takeLinkedToken()
    if (token === undefined || token === '') return
    setTrying(true)
    setProblem(undefined)
    logIn(token).then(accepted, (error) => {
      setProblem(describeError(error))
      setTrying(false)
    })
  }
  const latest = useRef(followLink)
  latest.current = followLink
  useEffect(() => {
    latest.current()
    return onLinkedToken(() => latest.current())
  }, [])
  return (
    <Page title="Log in">
      <div style={{ maxWidth: 480 }}>
        <Panel flush={false}>
          {trying ? (
            <Loading what="your session" />
          ) : session.name !== undefined ? (
            <>
              <p>You are logged in as {session.name}.</p>
              <p>
                <Link to="/">To the overview</Link>
              </p>
            </>
          ) : (
            <>
              {problem && (
                <p role="alert" style={{ marginBottom: 12, color: 'var(--failure)' }}>
                  The login link did not work: {problem}. It may be old; paste the present token instead.
                </p>
              )}
              <LoginForm onLogin={accepted} />
            </>
          )}
        </Panel>
      </div>
    </Page>
  )
}
