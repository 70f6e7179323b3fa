// Takes screenshots of every page of a running site with the system's Chromium, in both themes, and reports
// console errors, failed requests and accessibility violations (axe). Pictures go to `look-out/`.
//
//     npm run build && npm run mock &
//     npm run look -- --url http://127.0.0.1:8010/ [--only build] [--chromium /usr/bin/chromium]

import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:8010/' },
    only: { type: 'string' },
    out: { type: 'string', default: 'look-out' },
    chromium: { type: 'string', default: process.env.CHROMIUM ?? '/usr/bin/chromium' },
    token: { type: 'string', default: 'demo-token' },
  },
})
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
mkdirSync(options.out, { recursive: true })

const finished = await (
  await fetch(`${options.url}api/v2/builders/1/builds?order=-number&limit=1&results=2`)
).json()
const failed = finished.builds[0]?.number ?? 1

const open = (text) => async (page) => page.getByRole('button', { name: text }).first().click()
/** name, address below `#`, what to do before the picture */
const PAGES = [
  ['home', '/'],
  ['builders', '/builders'],
  ['builders-filtered', '/builders?tags=asan&q=zlib'],
  ['builder', '/builders/1'],
  ['force', '/builders/1', open('Force a build')],
  ['build', `/builders/1/builds/${failed}`],
  [
    'build-running',
    '/builders/2',
    async (page) => {
      await page.locator('tbody a').first().click()
      await page.waitForTimeout(2500)
    },
  ],
  ['build-properties', `/builders/1/builds/${failed}?tab=properties`],
  ['build-changes', `/builders/1/builds/${failed}?tab=changes`],
  ['log', `/builders/1/builds/${failed}/steps/4/logs/stdio?L=500000-500004`],
  [
    'log-search',
    `/builders/1/builds/${failed}/steps/4/logs/stdio`,
    async (page) => {
      await page.getByRole('searchbox').fill('panicked')
      await page.waitForTimeout(9000)
    },
  ],
  ['log-html', `/builders/1/builds/${failed}/steps/4/logs/test_report`],
  ['pending', '/pendingbuildrequests'],
  ['pipelines', '/pipelines'],
  ['pipelines-start', '/pipelines', open('Start')],
  ['pipeline', '/pipelines/1'],
  ['run', '/runs/14'],
  ['run-ended', '/runs/4'],
  ['run-large', '/runs/13?page=2'],
  ['workers', '/workers'],
  ['worker', '/workers/2'],
  ['changes', '/changes', async (page) => page.locator('summary').first().click()],
  ['change', '/changes/3'],
  ['schedulers', '/schedulers'],
  ['about', '/about'],
  ['login', '/login'],
  ['not-found', '/waterfall'],
  ['missing-build', '/builders/1/builds/99999'],
].filter(([name]) => options.only === undefined || options.only.split(',').includes(name))

// What is there to be seen: a missing build is a 404, and scripts in HTML logs must not run.
const EXPECTED = { 'missing-build': /404/, 'log-html': /Blocked script execution/ }

const browser = await chromium.launch({ executablePath: options.chromium, args: ['--no-sandbox'] })
let problems = 0
const complain = (text) => {
  problems += 1
  console.log(text)
}
for (const [theme, viewport] of [
  ['light', { width: 1440, height: 900 }],
  ['dark', { width: 1440, height: 900 }],
  ['narrow', { width: 420, height: 860 }],
]) {
  const context = await browser.newContext({
    viewport,
    colorScheme: theme === 'dark' ? 'dark' : 'light',
    reducedMotion: 'reduce',
  })
  for (const [name, address, prepare] of PAGES) {
    const page = await context.newPage()
    page.on('console', (message) => {
      if (message.type() === 'error' && !EXPECTED[name]?.test(message.text()))
        complain(`${theme} ${name}: console: ${message.text()}`)
    })
    page.on('pageerror', (error) => complain(`${theme} ${name}: error: ${error.message}`))
    await page.goto(`${options.url}#${address}`)
    await page.waitForTimeout(900)
    try {
      await prepare?.(page)
      await page.waitForTimeout(500)
    } catch (error) {
      complain(`${theme} ${name}: ${error.message.split('\n')[0]}`)
    }
    await page.screenshot({ path: `${options.out}/${name}-${theme}.png` })
    const wide = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    )
    if (wide > 0) complain(`${theme} ${name}: the page is ${wide} px too wide`)
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() =>
      window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'] }),
    )
    for (const { id, nodes } of violations)
      complain(
        `${theme} ${name}: axe ${id} ×${nodes.length}: ${nodes[0].html.slice(0, 160)} ${nodes[0].any[0]?.message ?? ''}`,
      )
    await page.close()
  }
  await context.close()
}
await browser.close()
console.log(problems === 0 ? 'no problems' : `${problems} problems`)
process.exitCode = problems === 0 ? 0 : 1
