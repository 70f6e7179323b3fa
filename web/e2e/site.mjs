// The browser: pages of a running site, and what is asked of all of them.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'
import { PATIENCE_MS } from './fleet.mjs'

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS })

/**
 * A fresh page at an address below `#`. Errors of the page's own code fail the test, and so does a request to
 * anywhere else.
 */
export async function visit(t, browser, fleet, address, { onRequest, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  context.setDefaultTimeout(PATIENCE_MS)
  const page = await context.newPage()
  const errors = []
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('request', (request) => {
    onRequest?.(request)
    if (!request.url().startsWith(fleet.root)) errors.push(`asked for ${request.url()}`)
  })
  t.after(async () => {
    await context.close()
    assert.deepEqual(errors, [])
  })
  await page.goto(`${fleet.root}#${address}`)
  return page
}

/** Logs in as people do: with the link that the program prints. */
export async function logIn(page, fleet) {
  await page.goto(fleet.loginLink())
  await page.getByText('You are logged in.').waitFor()
}

/** What `axe` has against the page, worst first, as one line each. */
export async function accessibilityProblems(page) {
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() =>
    window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  )
  return violations.map(
    ({ id, impact, nodes }) =>
      `${impact} ${id} ×${nodes.length}: ${nodes[0].html.slice(0, 160)} ${nodes[0].any[0]?.message ?? ''}`,
  )
}

/** How much wider the page is than its window. */
export const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)

// Logs

export const scroller = (page) => page.locator('section[aria-label^="Log "]')

/** The lines on screen, top to bottom: index and text, undefined where it is not there yet. */
export const shownLines = (page) =>
  scroller(page).evaluate((element) => {
    const box = element.getBoundingClientRect()
    return [...element.querySelectorAll('[data-line]')]
      .filter((number) => {
        const { top, bottom } = number.getBoundingClientRect()
        return top >= box.top - 1 && bottom <= box.bottom + 1
      })
      .map((number) => ({
        index: Number(number.dataset.line),
        text: number.parentElement.querySelector('[data-text]')?.textContent,
      }))
  })

/** Looks in every frame until `check` of the lines on screen holds, and all of them are there; gives them. */
export async function linesUntil(page, what, check) {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const lines = await shownLines(page)
    if (lines.length > 0 && lines.every(({ text }) => text !== undefined) && check(lines)) return lines
    if (Date.now() > end) assert.fail(`${what}; on screen are ${JSON.stringify([lines[0], lines.at(-1)])}`)
    await page.evaluate(() => new Promise(requestAnimationFrame))
  }
}
