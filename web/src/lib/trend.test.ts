import { describe, expect, it } from 'vitest'
import type { Build } from '../api/types'
import { barLabel, trendOf } from './trend'

/** Builds from `code and seconds` pairs, newest first; a code of -1 runs. */
const builds = (...all: [results: number, seconds: number][]): Build[] =>
  all.map(
    ([results, seconds], i) =>
      ({
        number: all.length - i,
        complete: results >= 0,
        results: results < 0 ? null : results,
        started_at: 1000,
        complete_at: results < 0 ? null : 1000 + seconds,
      }) as Build,
  )

describe('the trend of a builder', () => {
  it('says since when it fails', () => {
    const trend = trendOf(builds([2, 5], [4, 5], [0, 60], [2, 5], [0, 90]))
    expect(trend).toEqual({
      share: '2 of 5 builds succeeded',
      usual: 60,
      streak: 'failing since #4 (2 builds)',
      bad: true,
    })
  })

  it('leaves out what runs, was cancelled, or was tried again', () => {
    const trend = trendOf(builds([-1, 0], [6, 5], [0, 10], [5, 1], [1, 20], [2, 3]))
    expect(trend.share).toBe('2 of 3 builds succeeded')
    expect(trend.streak).toBe('the last 2 are good')
    expect(trend.usual).toBe(10)
  })

  it('says nothing where there is nothing to say', () => {
    expect(trendOf([])).toEqual({ share: undefined, usual: undefined, streak: undefined, bad: false })
    expect(trendOf(builds([-1, 0])).share).toBeUndefined()
    expect(trendOf(builds([0, 7])).streak).toBeUndefined()
  })

  it('has words for each bar', () => {
    expect(builds([2, 125], [-1, 0]).map(barLabel)).toEqual(['#2: Failed after 2:05', '#1: Running'])
  })
})
