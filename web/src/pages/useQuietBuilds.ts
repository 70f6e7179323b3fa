import { useEffect, useRef, useState } from 'react'
import { list } from '../api/client'
import { BUILD_FIELDS } from '../api/queries'
import type { Build } from '../api/types'
import { type FetchBuilds, quietBuilds } from '../lib/quiet'

/** Asked when the rows have rested on screen for so long. */
const REST_MS = 250

const fetchBuilds: FetchBuilds = async (builderids, limit, signal) =>
  (
    await list(
      'builds',
      'builds',
      { builderid: builderids, order: '-buildid', limit, field: BUILD_FIELDS },
      signal,
    )
  ).items

/**
 * The last builds of builders that are on screen and did not occur among the newest builds of all: in one
 * request for all of them, when scrolling rests. What was answered is kept while the page is open.
 */
export function useQuietBuilds(
  builderids: readonly number[],
  each: number,
): ReadonlyMap<number, readonly Build[]> {
  const [known, setKnown] = useState<ReadonlyMap<number, readonly Build[]>>(() => new Map())
  const missing = builderids.filter((id) => !known.has(id))
  const wanted = missing.join(' ')
  const latest = useRef(missing)
  latest.current = missing
  useEffect(() => {
    if (wanted === '') return
    const abort = new AbortController()
    const timer = setTimeout(() => {
      quietBuilds(latest.current, each, fetchBuilds, abort.signal).then(
        (found) => setKnown((before) => new Map([...before, ...found])),
        // Squares that are missing are not worth an alarm; scrolling asks again.
        () => undefined,
      )
    }, REST_MS)
    return () => {
      clearTimeout(timer)
      abort.abort()
    }
  }, [wanted, each])
  return known
}
