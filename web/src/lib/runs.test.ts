import { describe, expect, it } from 'vitest'
import { mergeJob, mergeRun } from '../api/merge'
import { aJob, aRun, ended } from '../test/runs'
import { canRetry, groupJobs, jobShown, mayApprove, runShown, shortName } from './runs'

describe('runs and jobs', () => {
  it('say where they stand in words', () => {
    expect(runShown(aRun({ state: 'stopping' }))).toEqual({ status: 'running', text: 'Stopping' })
    expect(runShown(aRun({ state: 'complete', results: 2 }))).toEqual({ status: 'failure', text: 'Failed' })
    expect(jobShown(aJob(0, 'a', { state: 'awaiting_approval' })).text).toBe('Needs approval')
    expect(jobShown(aJob(0, 'a', { state: 'skipped', results: 3 })).text).toBe('Skipped')
    const rejected = aJob(0, 'a', { state: 'skipped', results: 6, approved_by: 'ada' })
    expect(jobShown(rejected)).toEqual({ status: 'cancelled', text: 'Rejected' })
    expect(jobShown({ ...rejected, approved_by: null }).text).toBe('Cancelled')
    expect(jobShown(aJob(0, 'a', { state: 'expired', results: 2 }))).toEqual({
      status: 'failure',
      text: 'Expired',
    })
  })

  it('can be tried again once they are over and not well', () => {
    expect(canRetry(aRun())).toBe(false)
    expect(canRetry(aRun({ state: 'complete', complete: true, results: 1 }))).toBe(false)
    expect(canRetry(aRun({ state: 'complete', complete: true, results: 2 }))).toBe(true)
  })

  it('are approved by those who are named, if any are', () => {
    const named = aJob(0, 'a', { definition: { approval: { users: ['ada'] } } })
    expect(mayApprove(named, { username: 'ada' })).toBe(true)
    expect(mayApprove(named, { username: 'bob' })).toBe(false)
    expect(mayApprove(named, { anonymous: true })).toBe(true)
    expect(mayApprove(aJob(0, 'a', { definition: { approval: { users: [] } } }), { username: 'bob' })).toBe(
      true,
    )
  })

  it('are grouped by what made them', () => {
    const jobs = [
      aJob(0, 'test (linux, 3)', { group: 'test', matrix: { os: 'linux', python: 3 } }),
      aJob(1, 'docs'),
      // The order of the axes is that of the name.
      aJob(2, 'test (mac, 3)', { group: 'test', matrix: { a: 3, os: 'mac' } }),
      aJob(3, 'mac test', { group: 'test', matrix: { os: 'mac' } }),
    ]
    expect(groupJobs(jobs).map(({ name, jobs }) => [name, jobs.map(shortName)])).toEqual([
      ['test', ['linux, 3', 'mac, 3', 'mac']],
      ['docs', ['docs']],
    ])
  })
})

describe('an event that is older than what is shown', () => {
  it('does not set a run back', () => {
    const over = aRun({ state: 'complete', complete: true, results: 0 })
    expect(mergeRun(over, aRun())).toBe(over)
    expect(mergeRun(aRun(), over)).toEqual(over)
  })

  it('does not set a job back, unless it is tried again', () => {
    const running = aJob(0, 'a', { state: 'running', attempts: 1 })
    const queued = aJob(0, 'a', { state: 'queued', attempts: 1 })
    const again = aJob(0, 'a', { state: 'queued', attempts: 2 })
    const over = aJob(0, 'a', ended(0))
    expect(mergeJob(queued, running)).toBe(running)
    expect(mergeJob(running, queued)).toBe(running)
    expect(mergeJob(running, again)).toBe(again)
    expect(mergeJob(again, running)).toBe(again)
    expect(mergeJob(over, running)).toBe(over)
    expect(mergeJob(running, over)).toBe(over)
  })
})
