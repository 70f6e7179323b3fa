/** One error type for everything that can go wrong between the page and the master. */

export type FailureKind =
  /** No answer: the master is down, the network is away, or it took too long. */
  | 'unreachable'
  /** 403: not logged in, or not allowed. */
  | 'forbidden'
  | 'not-found'
  /** The master refused some fields of a form; see `fields`. */
  | 'invalid'
  /** Any other refusal. */
  | 'refused'
  /** An answer that this UI does not understand, e.g. from a proxy in between. */
  | 'malformed'

export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly kind: FailureKind
  /** HTTP status, when there was an answer. */
  readonly status: number | undefined
  /** fullName → what is wrong with it. */
  readonly fields: Readonly<Record<string, string>>

  constructor(
    kind: FailureKind,
    message: string,
    more: { status?: number; fields?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message, { cause: more.cause })
    this.kind = kind
    this.status = more.status
    this.fields = more.fields ?? {}
  }
}

/** True for the error with which `fetch` and we ourselves end an abandoned request. */
export const isAbort = (error: unknown): boolean =>
  error instanceof DOMException && error.name === 'AbortError'

/** A sentence for a person; never empty. */
export function describeError(error: unknown): string {
  if (error instanceof Error && error.message !== '') return error.message
  return String(error)
}

function kindOf(status: number): FailureKind {
  if (status === 401 || status === 403) return 'forbidden'
  if (status === 404) return 'not-found'
  return 'refused'
}

/**
 * Makes an error of a refusal. REST answers `{"error": "text"}`; JSON-RPC answers
 * `{"error": {"code", "message"}}` where the message of -32602 is an object, field → text.
 */
export function refusal(status: number, statusText: string, body: unknown): ApiError {
  const error = (body as { error?: unknown } | null | undefined)?.error
  if (typeof error === 'string') return new ApiError(kindOf(status), error, { status })
  const message = (error as { message?: unknown } | null | undefined)?.message
  if (typeof message === 'string') return new ApiError(kindOf(status), message, { status })
  if (message !== null && typeof message === 'object') {
    const fields = Object.fromEntries(Object.entries(message).map(([name, text]) => [name, String(text)]))
    return new ApiError('invalid', Object.values(fields).join('; ') || 'some fields are not valid', {
      status,
      fields,
    })
  }
  return new ApiError(kindOf(status), `the server answered ${status} ${statusText}`.trim(), { status })
}
