import { describe, expect, it } from 'vitest'
import { capture, capturedEvents } from '../test/captures'
import type { Page } from './client'
import { type ListRules, mergeBuild, mergeLog, mergeStep, upsert } from './merge'
import type { Build, Log, Step } from './types'

const build = (buildid: number, more: Partial<Build> = {}): Build => ({
  buildid,
  number: buildid,
  builderid: 1,
  buildrequestid: buildid,
  workerid: 1,
  masterid: 1,
  started_at: 0,
  complete: false,
  complete_at: null,
  locks_duration_s: 0,
  results: null,
  state_string: '',
  properties: {},
  ...more,
})
const newestFirst: ListRules<Build> = {
  id: (b) => b.buildid,
  merge: mergeBuild,
  compare: (a, b) => b.buildid - a.buildid,
}
const pageOf = (...items: Build[]): Page<Build> => ({ items, total: items.length })
const idsOf = (page: Page<Build>) => page.items.map((b) => b.buildid)

describe('merging one item', () => {
  it('never lets a build become incomplete again', () => {
    const done = build(1, { complete: true, results: 0 })
    expect(mergeBuild(done, build(1))).toBe(done)
  })

  it('keeps properties, because events come without', () => {
    const old = build(1, { properties: { branch: ['main', 'Build'] } })
    expect(mergeBuild(old, build(1, { complete: true })).properties).toEqual({ branch: ['main', 'Build'] })
  })

  it('never lets a log shrink', () => {
    const log = (capture('log').body as { logs: Log[] }).logs[0] as Log
    const old = { ...log, num_lines: 30, complete: false }
    expect(mergeLog(old, { ...log, num_lines: 20, complete: false }).num_lines).toBe(30)
    expect(mergeLog({ ...old, complete: true }, { ...old, complete: false }).complete).toBe(true)
  })
})

describe('merging into a list', () => {
  it('puts a new item where it belongs and drops what is beyond the limit', () => {
    const page = upsert(pageOf(build(3), build(1)), build(2), 'new', { ...newestFirst, limit: 2 })
    expect(idsOf(page)).toEqual([3, 2])
    expect(page.total).toBe(3)
  })

  it('takes out what no longer belongs', () => {
    const rules = { ...newestFirst, keep: (b: Build) => !b.complete }
    const page = upsert(
      pageOf(build(2), build(1)),
      build(1, { complete: true, results: 0 }),
      'finished',
      rules,
    )
    expect(idsOf(page)).toEqual([2])
    expect(page.total).toBe(1)
    expect(upsert(page, build(9, { complete: true }), 'finished', rules)).toBe(page)
  })

  it('does not grow later pages, but updates what is on them', () => {
    const rules = { ...newestFirst, insert: false }
    const page = pageOf(build(1))
    expect(upsert(page, build(5), 'new', rules)).toBe(page)
    expect(upsert(page, build(1, { complete: true, results: 2 }), 'finished', rules).items[0]?.results).toBe(
      2,
    )
  })

  it('does not count an update of an old item as a new one', () => {
    const rules = { ...newestFirst, limit: 2, counts: (name: string) => name === 'new' }
    const page = { items: [build(9), build(8)], total: 50 }
    expect(upsert(page, build(3), 'update', rules)).toBe(page)
    expect(upsert(page, build(10), 'new', rules).total).toBe(51)
  })

  it('leaves the original untouched', () => {
    const page = pageOf(build(1))
    upsert(page, build(2), 'new', newestFirst)
    expect(idsOf(page)).toEqual([1])
  })
})

describe('the recorded events of a stock server', () => {
  it('lead to the final state of every build and step', () => {
    let builds: Page<Build> = { items: [], total: 0 }
    let steps: Page<Step> = { items: [], total: 0 }
    for (const { k, m } of capturedEvents()) {
      const key = k.split('/')
      const name = key.at(-1) ?? ''
      if (key[0] === 'builds' && key.length === 3)
        builds = upsert(builds, m as unknown as Build, name, newestFirst)
      if (key[0] === 'builds' && key[2] === 'steps')
        steps = upsert(steps, m as unknown as Step, name, { id: (s) => s.stepid, merge: mergeStep })
    }
    expect(builds.items.length).toBeGreaterThan(0)
    expect(builds.items.every((b) => b.complete && b.results !== null)).toBe(true)
    expect(steps.items.length).toBeGreaterThan(3)
    expect(steps.items.every((s) => s.complete)).toBe(true)
    expect(builds.total).toBe(builds.items.length)
  })
})
