import { describe, expect, it, vi } from 'vitest'
import { captureToken, takeLinkedToken } from './token'

function visit(hash: string) {
  const history = { state: { key: 1 }, replaceState: vi.fn() }
  const found = captureToken({ hash, pathname: '/prefix/', search: '' }, history)
  return { found, history }
}

describe('the login link', () => {
  it('loses its token at once and hands it out once', () => {
    const { found, history } = visit('#/login?token=abc%2Fdef')
    expect(found).toBe(true)
    expect(history.replaceState).toHaveBeenCalledExactlyOnceWith({ key: 1 }, '', '/prefix/#/login')
    expect(takeLinkedToken()).toBe('abc/def')
    expect(takeLinkedToken()).toBeUndefined()
  })

  it('keeps other parameters', () => {
    const { history } = visit('#/login?token=x&next=1')
    expect(history.replaceState.mock.calls[0]?.[2]).toBe('/prefix/#/login?next=1')
    takeLinkedToken()
  })

  it.each(['', '#/', '#/login', '#/login?x=1', '#/builders?token=x'])('leaves %s alone', (hash) => {
    const { found, history } = visit(hash)
    expect(found).toBe(false)
    expect(history.replaceState).not.toHaveBeenCalled()
    expect(takeLinkedToken()).toBeUndefined()
  })
})
