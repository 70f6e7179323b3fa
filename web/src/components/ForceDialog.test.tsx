// @vitest-environment happy-dom

import { cleanup, fireEvent, waitFor } from '@testing-library/react'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { ForceScheduler } from '../api/types'
import { capture, responseOf } from '../test/captures'
import { serve, show } from '../test/render'
import { ForceDialog } from './ForceDialog'

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

const scheduler = (capture('forceschedulers').body as { forceschedulers: ForceScheduler[] })
  .forceschedulers[0] as ForceScheduler

const open = (onClose = () => {}) =>
  show(<ForceDialog scheduler={scheduler} builderid={11} builderName="shell-mp" onClose={onClose} />)

describe('the force dialog', () => {
  it('has a labelled input for every field that is not hidden', async () => {
    serve({})
    const view = await open()
    for (const label of [
      'Your name',
      'Reason',
      'Priority',
      'Branch',
      'S',
      'bprop',
      'iprop',
      'cprop',
      'inner',
      'pfile',
    ])
      expect(view.getByLabelText(label), label).toBeDefined()
    expect((view.getByLabelText('Reason') as HTMLInputElement).value).toBe('force build')
  })

  it('shows what the master does not like at the fields', async () => {
    serve({ 'POST api/v2/forceschedulers/force': () => responseOf(capture('rpc-error-validation')) })
    const view = await open()
    fireEvent.change(view.getByLabelText('Your name'), { target: { value: 'nomail' } })
    fireEvent.submit(view.getByLabelText('Reason').closest('form') as HTMLFormElement)
    await view.findByText(/please fill in email address/)
    const name = view.getByLabelText('Your name')
    expect(name.getAttribute('aria-invalid')).toBe('true')
    const described = name.getAttribute('aria-describedby')?.split(' ') ?? []
    expect(described.map((id) => document.getElementById(id)?.textContent).join()).toMatch(/email address/)
    expect(view.getByLabelText('iprop').getAttribute('aria-invalid')).toBe('true')
    expect(view.getByLabelText('Branch').getAttribute('aria-invalid')).toBeNull()
  })

  it('does not send what cannot be right', async () => {
    const asked = serve({})
    const view = await open()
    fireEvent.change(view.getByLabelText('iprop'), { target: { value: 'three' } })
    fireEvent.submit(view.getByLabelText('Reason').closest('form') as HTMLFormElement)
    await view.findByText('this is not a whole number')
    expect(asked.some(({ route }) => route.startsWith('POST'))).toBe(false)
  })

  it('starts the build and goes to its request', async () => {
    const asked = serve({ 'POST api/v2/forceschedulers/force': () => responseOf(capture('rpc-force')) })
    const close = vi.fn()
    const view = await open(close)
    fireEvent.change(view.getByLabelText('Branch'), { target: { value: 'main' } })
    fireEvent.click(view.getByLabelText('bprop'))
    fireEvent.submit(view.getByLabelText('Reason').closest('form') as HTMLFormElement)
    await waitFor(() => expect(close).toHaveBeenCalled())
    const body = asked.find(({ route }) => route.startsWith('POST'))?.body
    expect(body).toMatchObject({
      method: 'force',
      params: { builderid: 11, branch: 'main', bprop: true, iprop: 3 },
    })
    await waitFor(() => expect(view.router.state.location.pathname).toBe('/buildrequests/29'))
  })
})
