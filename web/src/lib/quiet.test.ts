import { describe, expect, it } from 'vitest'
import type { Build } from '../api/types'
import { type FetchBuilds, quietBuilds } from './quiet'

/** Newest first: builder 1 is lively, 2 has one old build, 3 none. */
const all = [
  ...Array.from({ length: 50 }, (_, i) => ({ buildid: 100 - i, builderid: 1 })),
  { buildid: 1, builderid: 2 },
]
const signal = new AbortController().signal

function server() {
  const asked: number[][] = []
  const fetch: FetchBuilds = async (ids, limit) => {
    asked.push([...ids])
    return all.filter(({ builderid }) => ids.includes(builderid)).slice(0, limit) as Build[]
  }
  return { asked, fetch }
}

describe('the builds of quiet builders', () => {
  it('are asked for together, and again without a lively one that filled the answer', async () => {
    const { asked, fetch } = server()
    const found = await quietBuilds([1, 2, 3], 4, fetch, signal)
    expect(asked).toEqual([
      [1, 2, 3],
      [2, 3],
    ])
    expect(found.get(1)?.map((build) => build.buildid)).toEqual([100, 99, 98, 97])
    expect(found.get(2)?.map((build) => build.buildid)).toEqual([1])
    expect(found.get(3)).toEqual([])
  })

  it('need no request for nobody, and end with a server that answers nonsense', async () => {
    const { asked, fetch } = server()
    await quietBuilds([], 4, fetch, signal)
    expect(asked).toEqual([])
    let calls = 0
    await quietBuilds(
      [7, 8],
      1,
      async () => {
        calls += 1
        return [
          { buildid: 1, builderid: 99 },
          { buildid: 2, builderid: 99 },
        ] as Build[]
      },
      signal,
    )
    expect(calls).toBe(1)
  })
})
