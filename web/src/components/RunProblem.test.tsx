// @vitest-environment happy-dom

import { act, cleanup, within } from '@testing-library/react'
import { afterEach, expect, it, vi } from 'vitest'
import { serve, show } from '../test/render'
import { aRun } from '../test/runs'
import { RunProblem } from './RunProblem'

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

const source = {
  file: '.ironmaster.toml',
  repository: 'https://git.example.org/zlib.git',
  branch: 'topic',
  revision: 'f'.repeat(40),
}

it('shows what is wrong with the jobs of a repository, with its place in the file', async () => {
  const problem = {
    summary: '`.ironmaster.toml`: the project grants no builder `secret`',
    text: 'error[not_granted]: the project grants no builder `secret`\n --> .ironmaster.toml:3:11',
  }
  const run = aRun({
    state: 'complete',
    complete: true,
    results: 4,
    trusted: false,
    source: { ...source, problem },
  })
  serve({ 'GET config': () => Response.json({ title: 'CI', versions: [], user: {} }) })
  const view = await show(<RunProblem run={run} link />)
  act(() => view.sockets[0]?.onopen?.())
  const region = within(view.getByRole('region', { name: 'What is wrong with the jobs of run 7' }))
  expect(region.getByText(/\.ironmaster\.toml:3:11/)).toBeDefined()
  expect(region.getByRole('link', { name: 'main line #7' }).getAttribute('href')).toContain('/runs/7')
})

it('shows nothing of jobs that are good', async () => {
  serve({ 'GET config': () => Response.json({ title: 'CI', versions: [], user: {} }) })
  const view = await show(<RunProblem run={aRun({ source })} />)
  expect(view.queryByRole('region')).toBeNull()
})
