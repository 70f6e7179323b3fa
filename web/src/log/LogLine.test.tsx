// @vitest-environment happy-dom

import { cleanup, render } from '@testing-library/react'
import { afterEach, describe, expect, it } from 'vitest'
import { LogLine } from './LogLine'
import { MAX_SHOWN } from './line'
import { makeMatcher } from './search'

const E = '\u001b'
const show = (raw: string | undefined, more: Partial<Parameters<typeof LogLine>[0]> = {}) =>
  render(
    <LogLine index={119} raw={raw} type="s" selected={false} current={false} matcher={undefined} {...more} />,
  ).container

afterEach(cleanup)

describe('a line of a log', () => {
  it('has its number, counted from one', () => {
    expect(show('ohello').querySelector('[data-line="119"]')?.textContent).toBe('120')
  })

  it('tells stderr and header by a word, not only by colour', () => {
    expect(show('ebad').textContent).toBe('120errbad')
    cleanup()
    const header = show('hgit fetch')
    expect(header.textContent).toBe('120infogit fetch')
    expect(header.querySelector('[title^="header"]')).not.toBeNull()
  })

  it('colours without interpreting markup', () => {
    const line = show(`o${E}[31m<img src=x onerror=alert(1)>${E}[0m ok`)
    expect(line.querySelector('img')).toBeNull()
    expect(line.textContent).toBe('120<img src=x onerror=alert(1)> ok')
    expect(line.querySelectorAll('[class*="fg-red"]')).toHaveLength(1)
  })

  it('marks what was searched for, across colours', () => {
    const matcher = makeMatcher({ text: 'bcd', caseSensitive: false, regex: false })
    const line = show(`o${E}[31mabc${E}[0mdef`, { matcher })
    const hits = [...line.querySelectorAll('[class*="hit"]')].map((hit) => hit.textContent)
    expect(hits).toEqual(['bc', 'd'])
  })

  it('links web addresses safely', () => {
    const link = show('osee https://example.org/x.').querySelector('a')
    expect(link?.getAttribute('href')).toBe('https://example.org/x')
    expect(link?.rel).toContain('noopener')
  })

  it('keeps an address whole when the search marks a part of it', () => {
    const matcher = makeMatcher({ text: 'example', caseSensitive: false, regex: false })
    const line = show('osee https://example.org/x now', { matcher })
    expect(line.textContent).toBe('120see https://example.org/x now')
    expect(new Set([...line.querySelectorAll('a')].map((a) => a.href))).toEqual(
      new Set(['https://example.org/x']),
    )
  })

  it('cuts endless lines and says so', () => {
    const line = show(`o${'x'.repeat(MAX_SHOWN + 1500)}`)
    expect(line.textContent).toMatch(/1.500 more characters/)
    expect((line.textContent ?? '').length).toBeLessThan(MAX_SHOWN + 100)
  })

  it('has a place before it is loaded', () => {
    expect(show(undefined).querySelector('[data-line="119"]')).not.toBeNull()
  })
})
