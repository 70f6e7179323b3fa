// @vitest-environment happy-dom

import { act, cleanup, within } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { serve, show } from '../test/render'
import { Schedulers } from './Schedulers'

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

const page = (name: string, items: unknown[]) => () =>
  Response.json({ [name]: items, meta: { total: items.length } })
const NONE = 'GET api/v2/schedulers?order=name'
const TRIES = 'GET api/v2/tryschedulers?order=name'

it('tells why jobs to try were refused, the newest first', async () => {
  const now = Math.floor(Date.now() / 1000)
  const tried = (name: string, refused: unknown[]) => ({ name, builder_names: [], enabled: true, refused })
  serve({
    [NONE]: page('schedulers', []),
    [TRIES]: page('tryschedulers', [
      tried('by file', [{ file: '17.P42', reason: 'no builder `lnux`', at: now - 7200 }]),
      tried('by login', [{ file: null, reason: 'the patch is not UTF-8', at: now - 3600 }]),
    ]),
  })
  const view = await show(<Schedulers />)
  act(() => view.sockets[0]?.onopen?.())
  const table = (await view.findByText('by file')).closest('table')
  if (table === null) throw new Error('there is no table')
  const rows = within(table).getAllByRole('row').slice(1)
  expect(rows.map((row) => row.textContent)).toEqual([
    'by login1h agononethe patch is not UTF-8',
    'by file2h ago17.P42no builder `lnux`',
  ])
})

it('says nothing of try schedulers that have refused nothing', async () => {
  serve({
    [NONE]: page('schedulers', []),
    [TRIES]: page('tryschedulers', [{ name: 'try', builder_names: [], enabled: true, refused: [] }]),
  })
  const view = await show(<Schedulers />)
  act(() => view.sockets[0]?.onopen?.())
  await view.findByText('No scheduler is configured yet')
  expect(view.queryByText('Refused try jobs')).toBeNull()
})
