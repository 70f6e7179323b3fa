/**
 * Addresses. Everything is relative to the page, because the site may live below a path prefix of a
 * reverse proxy that nobody told the UI about. Hash routing keeps the page's own path constant.
 */

/** The site root, always with a trailing slash, e.g. `https://ci.example.org/prefix/`. */
export function siteRoot(location: Pick<Location, 'origin' | 'pathname'> = window.location): string {
  const directory = location.pathname.slice(0, location.pathname.lastIndexOf('/') + 1) || '/'
  return location.origin + directory
}

/** An address below the REST API root. `path` has no leading slash. */
export const apiUrl = (path: string): string => `${siteRoot()}api/v2/${path}`

/** The event socket's address. */
export const socketUrl = (): string => `${siteRoot().replace(/^http/, 'ws')}ws`

/**
 * Builds a path from a template and encodes every inserted element: a builder's name may contain `/`.
 *
 *     path`builders/${id}/builds`
 */
export function path(literals: TemplateStringsArray, ...elements: readonly (string | number)[]): string {
  return literals.reduce(
    (text, literal, i) => text + encodeURIComponent(String(elements[i - 1])) + literal,
    // `reduce` without an initial value starts at the second literal, with the first as accumulator.
  )
}

/** Values of a query string; an array repeats the parameter, `undefined` leaves it out. */
export type Query = Readonly<
  Record<string, string | number | boolean | readonly (string | number)[] | undefined>
>

/** Renders a query string with its `?`, or nothing when it would be empty. */
export function queryString(query: Query = {}): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) params.append(name, String(one))
  }
  const text = params.toString()
  return text === '' ? '' : `?${text}`
}
