// @vitest-environment happy-dom

import { act, cleanup, within } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import type { Builder } from '../api/types'
import { serve, show } from '../test/render'
import { Projects } from './Projects'

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

const aBuilder = (builderid: number, name: string, projectid: number | null): Builder => ({
  builderid,
  name,
  projectid,
  masterids: [1],
  description: null,
  tags: [],
})

it('names the builders of each project that has some', async () => {
  const projects = [
    { projectid: 1, name: 'forge', description: null, active: true },
    { projectid: 2, name: 'kiln', description: null, active: true },
    { projectid: 3, name: 'of old', description: null, active: false },
  ]
  serve({ 'GET api/v2/projects?order=name': () => Response.json({ projects, meta: { total: 3 } }) })
  const many = Array.from({ length: 25 }, (_, i) => aBuilder(100 + i, `kiln-${i}`, 2))
  const view = await show(
    <Projects builders={[aBuilder(1, 'linux', 1), aBuilder(2, 'alone', null), ...many]} />,
  )
  act(() => view.sockets[0]?.onopen?.())
  const of = async (name: string) =>
    within((await view.findByText(name)).parentElement as HTMLElement)
      .getAllByRole('link')
      .map((link) => link.textContent)
  expect(await of('forge')).toEqual(['linux'])
  expect((await of('kiln')).slice(19)).toEqual(['kiln-19', '5 others'])
  expect(view.queryByText('of old')).toBeNull()
  expect(view.queryByText('alone')).toBeNull()
})
