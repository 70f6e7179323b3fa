/**
 * The login link, `#/login?token=…`. A token in the address bar ends up in histories, bookmarks and
 * screenshots, so it is taken out before anything else looks at the address.
 */

let linked: string | undefined
const listeners = new Set<() => void>()

/** Takes the token out of the address, keeping it in memory. Returns true if there was one. */
export function captureToken(
  location: Pick<Location, 'hash' | 'pathname' | 'search'> = window.location,
  history: Pick<History, 'replaceState' | 'state'> = window.history,
): boolean {
  const match = /^#\/login\?(.*)$/.exec(location.hash)
  if (match === null) return false
  const params = new URLSearchParams(match[1])
  const token = params.get('token')
  if (token === null) return false
  params.delete('token')
  const rest = params.toString()
  history.replaceState(
    history.state,
    '',
    `${location.pathname}${location.search}#/login${rest === '' ? '' : `?${rest}`}`,
  )
  linked = token.trim()
  for (const listener of listeners) listener()
  return true
}

/** The token of the link, once. */
export function takeLinkedToken(): string | undefined {
  const token = linked
  linked = undefined
  return token
}

/** Told when a link was followed while the login page is open already. */
export function onLinkedToken(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/**
 * Watches for login links now and later. Must run before the router exists: listeners are called in the
 * order of their registration, so the router never sees a token.
 */
export function guardLoginLinks(): void {
  captureToken()
  window.addEventListener('popstate', () => captureToken())
  window.addEventListener('hashchange', () => captureToken())
}
