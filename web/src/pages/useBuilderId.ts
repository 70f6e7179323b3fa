import { useQuery } from '@tanstack/react-query'
import { path } from '../api/base'
import { get } from '../api/client'
import type { ApiError } from '../api/errors'
import type { Builder } from '../api/types'

/** Addresses name a builder by number, as ours do, or by name, as people write them by hand. */
export function useBuilderId(text: string): {
  builderid: number | undefined
  error: ApiError | null
  refetch: () => unknown
} {
  const isNumber = /^\d+$/.test(text)
  const query = useQuery<Builder, ApiError>({
    queryKey: ['builders', 'one', text],
    queryFn: ({ signal }) => get('builders', path`builders/${text}`, {}, signal),
    enabled: !isNumber,
  })
  return {
    builderid: isNumber ? Number(text) : query.data?.builderid,
    error: query.error,
    refetch: query.refetch,
  }
}
