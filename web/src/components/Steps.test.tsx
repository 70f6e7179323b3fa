// @vitest-environment happy-dom

import { cleanup, fireEvent } from '@testing-library/react'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Build, Step } from '../api/types'
import { capture } from '../test/captures'
import { serve, show } from '../test/render'
import { Steps } from './Steps'

const build = (capture('build').body as { builds: Build[] }).builds[0] as Build
const steps = (capture('build-steps').body as { steps: Step[] }).steps

beforeEach(() => {
  serve({})
})
afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

const openSteps = (container: HTMLElement) =>
  [...container.querySelectorAll('[aria-expanded="true"]')].map((button) => button.textContent)

describe('the steps of a build', () => {
  it('unfold the first that failed', async () => {
    const { container } = await show(<Steps build={build} steps={steps} unfold={undefined} />)
    expect(container.querySelectorAll('[aria-expanded]')).toHaveLength(6)
    expect(openSteps(container)).toEqual([expect.stringContaining('rc3')])
  })

  it('unfold the running one, and nothing when all is well', async () => {
    const good = steps.map((step) => ({ ...step, results: 0 as const }))
    const running = good.map((step) =>
      step.name === 'pty' ? { ...step, complete: false, results: null } : step,
    )
    const first = await show(
      <Steps build={{ ...build, complete: false }} steps={running} unfold={undefined} />,
    )
    expect(openSteps(first.container)).toEqual([expect.stringContaining('pty')])
    cleanup()
    const second = await show(<Steps build={build} steps={good} unfold={undefined} />)
    expect(openSteps(second.container)).toEqual([])
  })

  it('say their result in words, too', async () => {
    const { getAllByLabelText } = await show(<Steps build={build} steps={steps} unfold={undefined} />)
    expect(getAllByLabelText('Succeeded')).toHaveLength(5)
    expect(getAllByLabelText('Failed')).toHaveLength(1)
  })

  it('keep hidden ones away until asked', async () => {
    const some = steps.map((step) => ({ ...step, hidden: step.number === 0 }))
    const view = await show(<Steps build={build} steps={some} unfold={undefined} />)
    expect(view.queryByText('worker_preparation')).toBeNull()
    fireEvent.click(view.getByText('Show 1 hidden step'))
    expect(view.queryByText('worker_preparation')).not.toBeNull()
  })

  it('follow only web addresses and uploaded files', async () => {
    const urls = [
      { name: 'report', url: 'https://example.org/r' },
      { name: 'nightly/a.gz', url: 'files/nightly/a.gz' },
      { name: 'evil', url: 'javascript:alert(1)' },
    ]
    const some = steps.map((step) => ({ ...step, urls: step.number === 1 ? urls : [] }))
    const view = await show(<Steps build={build} steps={some} unfold={undefined} />)
    expect(view.getByText('report').getAttribute('href')).toBe('https://example.org/r')
    expect(view.getByText('nightly/a.gz').getAttribute('href')).toBe('files/nightly/a.gz')
    expect(view.queryByText('evil')).toBeNull()
  })
})
