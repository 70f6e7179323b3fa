import { describe, expect, it } from 'vitest'
import type { Build, BuildRequest, ForceField, ForceScheduler, Worker } from '../api/types'
import { capture } from '../test/captures'
import { describeCause } from './cause'
import { noteServerTime, serverNow } from './clock'
import {
  autopopulate,
  forceParams,
  initialValues,
  labelOf,
  leaves,
  localProblems,
  withoutUserName,
} from './force'
import { firstLine, formatAgo, formatDuration, personName, shortRevision } from './format'
import { builtRevision, textProperty } from './properties'
import { buildStatus, requestStatus, statusOfResult, stepStatus } from './results'
import { parseSearch, stringifySearch, textList, wholeNumber } from './search'
import { activityByBuilder } from './squares'
import { clockSkew, lastThere, machine, slots, workerInfo, workerState } from './workers'

describe('text', () => {
  it.each([
    [-5, '0 s'],
    [59.9, '59 s'],
    [125, '2:05'],
    [3723, '1:02:03'],
    [90_000, '1 d 1:00:00'],
  ])('shows %d seconds as %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text)
  })

  it('does not flicker with seconds', () => {
    expect(formatAgo(1000, 1030)).toBe('just now')
    expect(formatAgo(1000, 1000 + 7200)).toMatch(/2/)
  })

  it('shortens hashes only', () => {
    expect(shortRevision('0123456789abcdef0123456789abcdef01234567')).toBe('0123456789')
    expect(shortRevision('refs/heads/a-very-long-name-that-is-no-hash')).toBe(
      'refs/heads/a-very-long-name-that-is-no-hash',
    )
    expect(shortRevision('r12345')).toBe('r12345')
  })

  it('finds names and first lines', () => {
    expect(personName('Ada Marsh <ada@example.org>')).toBe('Ada Marsh')
    expect(personName('<ada@example.org>')).toBe('<ada@example.org>')
    expect(firstLine('\n one\ntwo')).toBe('one')
  })
})

describe('the master’s clock', () => {
  it('corrects a wrong one and leaves a right one alone', () => {
    const local = Date.now()
    noteServerTime(new Date(local + 3_600_000).toUTCString(), local)
    expect(Math.abs(serverNow() - (local / 1000 + 3600))).toBeLessThan(3)
    noteServerTime(new Date(local).toUTCString(), local)
    expect(Math.abs(serverNow() - Date.now() / 1000)).toBeLessThan(0.1)
    noteServerTime('nonsense')
    noteServerTime(null)
    expect(Math.abs(serverNow() - Date.now() / 1000)).toBeLessThan(0.1)
  })
})

describe('states', () => {
  it('knows all results and future ones', () => {
    expect([0, 1, 2, 3, 4, 5, 6].map((code) => statusOfResult(code as 0))).toEqual([
      'success',
      'warnings',
      'failure',
      'skipped',
      'exception',
      'retry',
      'cancelled',
    ])
    expect(statusOfResult(99 as 0)).toBe('unknown')
    expect(statusOfResult(-1)).toBe('unknown')
  })
  it('tells running from pending', () => {
    expect(buildStatus({ complete: false, results: null })).toBe('running')
    expect(stepStatus({ complete: false, results: null, started_at: null })).toBe('pending')
    expect(stepStatus({ complete: false, results: null, started_at: 1 })).toBe('running')
    expect(requestStatus({ complete: false, results: -1, claimed: false })).toBe('pending')
    expect(requestStatus({ complete: false, results: -1, claimed: true })).toBe('running')
    expect(requestStatus({ complete: true, results: 6, claimed: false })).toBe('cancelled')
  })
  it('describes workers', () => {
    const [connected, away] = (capture('workers').body as { workers: Worker[] }).workers as [Worker, Worker]
    expect(workerState(connected).word).toBe('Connected')
    expect(workerState(away).word).toBe('Away, paused')
    expect(workerState({ ...away, paused: false }).word).toBe('Never connected')
    expect(workerInfo(connected)).toEqual([
      ['host', 'test host'],
      ['admin', 'Admin <admin@example.org>'],
      ['version', '4.3.0'],
    ])
    expect(slots(connected)).toBeUndefined()
    const facts = { hostname: 'test host', cpus: 8, memory_bytes: 17_179_869_184, os: 'linux' }
    expect(workerInfo({ ...connected, facts }).slice(0, 4)).toEqual([
      ['host', 'test host'],
      ['os', 'linux'],
      ['cpus', '8'],
      ['memory_bytes', '16.0 GiB'],
    ])
    expect(machine({ ...connected, facts })).toBe('test host · linux · 8 CPUs · 4.3.0')
    expect(slots({ ...connected, workerinfo: { slots: 3 } })).toBe(3)
    expect(slots({ ...connected, slots: 5 })).toBe(5)
    expect(machine({ ...connected, facts: { protocol: 'native' } })).toBe('test host · native 4.3.0')
    expect(workerState({ ...connected, graceful: true }).word).toBe('Shutting down')
    expect(workerState({ ...connected, graceful: true, killed: true }).word).toBe('Ending')
    expect(workerState({ ...connected, connected_to: [], graceful: true }).word).toBe('Stopped')
    expect(workerState({ ...away, missing: true }).word).toBe('Missing')
    expect(lastThere(connected)).toBeUndefined()
    const gone = { ...connected, connected_to: [], disconnected_at: 5 }
    expect(lastThere(gone)).toEqual({ what: 'last connected', at: 5 })
    const never = { ...away, paused: false, disconnected_at: 5 }
    expect(lastThere(never)).toEqual({ what: 'configured', at: 5 })
    expect(lastThere({ ...never, missing: true })?.what).toBe('never connected, configured')
    expect(clockSkew({ ...connected, facts: { clock_skew_ms: 4_000 } })).toBeUndefined()
    expect(clockSkew({ ...connected, facts: { clock_skew_ms: -65_000 } })).toBe('1:05 behind')
  })
})

describe('causes', () => {
  it.each([
    [{ kind: 'exit_code', code: 3 }, 'exit code 3'],
    [{ kind: 'signal', signal: 9 }, 'ended by signal 9 (KILL)'],
    [{ kind: 'timeout', limit: 'silence' }, 'silent for too long'],
    [{ kind: 'infrastructure', reason: 'worker lost' }, 'infrastructure: worker lost'],
    [{ kind: 'cancelled', by: 'ada', reason: '' }, 'cancelled by ada'],
    [{ kind: 'collapsed', into: 7 }, 'merged into request 7'],
    [{ kind: 'something_new' }, 'something new'],
  ])('%j', (cause, words) => {
    expect(describeCause(cause)).toBe(words)
  })
  it('may be absent', () => {
    expect(describeCause(null)).toBeUndefined()
    expect(describeCause(undefined)).toBeUndefined()
  })
})

describe('properties', () => {
  it('reads text and skips blanks', () => {
    const properties = { a: ['x', 's'], b: ['', 's'], c: [null, 's'], d: [5, 's'] } as const
    expect(['a', 'b', 'c', 'd', 'e'].map((name) => textProperty(properties, name))).toEqual([
      'x',
      undefined,
      undefined,
      '5',
      undefined,
    ])
  })
  it('prefers what was really built', () => {
    expect(builtRevision({ revision: ['asked', ''], got_revision: ['got', ''] })).toBe('got')
    expect(builtRevision({ revision: ['asked', ''] })).toBe('asked')
    expect(builtRevision({ got_revision: [{ lib: '', app: 'abc' }, ''] })).toBe('abc')
    expect(builtRevision(null)).toBeUndefined()
  })
})

describe('query strings of routes', () => {
  it('keep text as text', () => {
    expect(parseSearch('?q=12345&tags=a&tags=b&L=1-2')).toEqual({ q: '12345', tags: ['a', 'b'], L: '1-2' })
    expect(stringifySearch({ q: 'a b', tags: ['x', 'y'], page: undefined, old: '', n: 3 })).toBe(
      '?q=a+b&tags=x&tags=y&n=3',
    )
    expect(stringifySearch({})).toBe('')
  })
  it('check numbers and lists', () => {
    expect(wholeNumber('3', 2)).toBe(3)
    expect(wholeNumber('1', 2)).toBeUndefined()
    expect(wholeNumber('3x', 2)).toBeUndefined()
    expect(wholeNumber(2.5, 2)).toBeUndefined()
    expect(textList('a')).toEqual(['a'])
    expect(textList(undefined)).toBeUndefined()
  })
})

describe('the squares of all builders', () => {
  it('take one pass over one list', () => {
    const builds = [5, 4, 3, 2, 1].map((buildid) => ({
      buildid,
      builderid: buildid % 2,
      complete: buildid < 4,
    })) as unknown as Build[]
    const requests = [{ builderid: 1 }, { builderid: 1 }, { builderid: 7 }] as unknown as BuildRequest[]
    const activity = activityByBuilder(builds, requests, 2)
    expect(activity.get(1)?.latest.map((build) => build.buildid)).toEqual([5, 3])
    expect(activity.get(1)).toMatchObject({ running: 1, pending: 2 })
    expect(activity.get(0)).toMatchObject({ running: 1, pending: 0 })
    expect(activity.get(7)).toMatchObject({ latest: [], pending: 1 })
  })
})

describe('the force form', () => {
  const fields = (capture('forceschedulers').body as { forceschedulers: ForceScheduler[] }).forceschedulers[0]
    ?.all_fields as ForceField[]

  it('flattens groups', () => {
    expect(leaves(fields).map((field) => field.fullName)).toEqual([
      'username',
      'reason',
      'priority',
      'branch',
      'project',
      'repository',
      'revision',
      'sprop',
      'bprop',
      'iprop',
      'cprop',
      'nest_inner',
      'pfile',
    ])
  })

  it('starts with the defaults and sends by full name', () => {
    const params = forceParams(fields, initialValues(fields), 11)
    expect(params).toMatchObject({
      builderid: 11,
      reason: 'force build',
      priority: 0,
      bprop: false,
      iprop: 3,
      cprop: 'a',
      nest_inner: 'x',
    })
    expect(params).not.toHaveProperty('nest')
  })

  it('leaves fixed fields to the server', () => {
    const fixed = { ...(leaves(fields)[1] as ForceField), type: 'fixed' }
    expect(forceParams([fixed], initialValues([fixed]), 1)).toEqual({ builderid: 1 })
  })

  it('finds what can be found without the server', () => {
    const required = leaves(fields).map((field) =>
      field.fullName === 'branch' ? { ...field, required: true } : field,
    )
    expect(localProblems(required, { ...initialValues(fields), iprop: 'abc' })).toEqual({
      branch: 'Branch needs to be specified',
      iprop: 'this is not a whole number',
    })
    expect(localProblems(fields, { ...initialValues(fields), iprop: ' -4 ' })).toEqual({})
  })

  it('does not ask for a name that has no effect', () => {
    const names = (all: ForceField[]) => leaves(all).map((field) => field.fullName)
    expect(names(withoutUserName(fields))).toEqual(names(fields).slice(1))
    const required = fields.map((field) => ({
      ...field,
      fields: field.fields?.map((one) => ({ ...one, required: true })),
    }))
    expect(names(withoutUserName(required as ForceField[]))).toContain('username')
  })

  it('lets a choice fill other fields', () => {
    const choice = {
      ...(leaves(fields).find((field) => field.fullName === 'cprop') as ForceField),
      autopopulate: { b: { branch: 'stable' } },
    }
    expect(autopopulate({ branch: 'x' }, choice, 'b')).toEqual({ branch: 'stable', cprop: 'b' })
    expect(autopopulate({ branch: 'x' }, choice, 'a')).toEqual({ branch: 'x', cprop: 'a' })
  })

  it('tidies labels', () => {
    expect(leaves(fields).slice(0, 4).map(labelOf)).toEqual(['Your name', 'Reason', 'Priority', 'Branch'])
  })
})
