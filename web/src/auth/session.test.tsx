// @vitest-environment happy-dom

import { cleanup, fireEvent, waitFor } from '@testing-library/react'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { call } from '../api/client'
import { Button } from '../components/Button'
import { serve, show } from '../test/render'
import { useControl } from './session'

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

function StopButton() {
  const stop = useControl('stop the build', (reason: string) => call('builds/7', 'stop', { reason }), {
    done: 'It is being stopped.',
  })
  return <Button onClick={() => stop.mutate('enough')}>Stop</Button>
}

const done = () => Response.json({ jsonrpc: '2.0', id: 1, result: null })
const refused = (message: string, status = 403) =>
  Response.json({ jsonrpc: '2.0', id: 1, error: { code: -32600, message } }, { status })

describe('a control action', () => {
  it('asks for a login when one is needed, says why, and then goes on', async () => {
    let loggedIn = false
    const asked = serve({
      'POST api/v2/builds/7': () => (loggedIn ? done() : refused("you need to have role 'admin'")),
      'POST auth/token': (body) => {
        if ((body as { token: string }).token !== 'right')
          return Response.json({ error: 'unknown token' }, { status: 403 })
        loggedIn = true
        return Response.json({ user: { username: 'admin' } })
      },
    })
    const view = await show(<StopButton />)
    fireEvent.click(view.getByText('Stop'))
    await view.findByText(/To stop the build, log in\. The master said: you need to have role 'admin'/)
    const field = view.getByLabelText('Admin token')
    const submit = () => fireEvent.submit(field.closest('form') as HTMLFormElement)

    fireEvent.change(field, { target: { value: 'wrong' } })
    submit()
    await view.findByText(/does not accept this token \(unknown token\)/)

    fireEvent.change(field, { target: { value: ' right ' } })
    submit()
    await view.findByText('It is being stopped.')
    expect(view.queryByLabelText('Admin token')).toBeNull()
    expect(asked.filter(({ route }) => route === 'POST api/v2/builds/7')).toHaveLength(2)
  })

  it('is simply not done when the login is cancelled', async () => {
    const asked = serve({ 'POST api/v2/builds/7': () => refused('no') })
    const view = await show(<StopButton />)
    fireEvent.click(view.getByText('Stop'))
    fireEvent.click(await view.findByText('Cancel'))
    await waitFor(() => expect(view.queryByLabelText('Admin token')).toBeNull())
    expect(view.queryByText(/Could not/)).toBeNull()
    expect(asked.filter(({ route }) => route.startsWith('POST'))).toHaveLength(1)
  })

  it('tells any other failure and offers to try again', async () => {
    let works = false
    serve({ 'POST api/v2/builds/7': () => (works ? done() : refused('disk full', 500)) })
    const view = await show(<StopButton />)
    fireEvent.click(view.getByText('Stop'))
    await view.findByText('Could not stop the build: disk full')
    works = true
    fireEvent.click(view.getByText('Retry'))
    await view.findByText('It is being stopped.')
    expect(view.queryByText(/Could not/)).toBeNull()
  })
})
