// What only a browser can tell, tried in the system's Chromium against the mock server: `npm run test:browser`
// (after `npm run build`). Not part of `npm test`, because not every machine has a browser.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { freePort } from './port.mjs'

const PREFIX = '/some/prefix'
/** How long anything may take before a test gives up. Only a broken page gets there. */
const PATIENCE_MS = 90_000
let browser
let mock
let root

async function startMock(port) {
  const script = fileURLToPath(new URL('mock-server.mjs', import.meta.url))
  const child = spawn(process.execPath, [script, '--port', String(port), '--prefix', PREFIX, '--steady'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(child.stdout, 'data')
  return { child, root: /http:\S+/.exec(String(line))[0] }
}

before(async () => {
  const started = await startMock(await freePort())
  mock = started.child
  root = started.root
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  })
})
after(async () => {
  await browser?.close()
  mock?.kill()
})

async function newContext(options) {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(PATIENCE_MS)
  return context
}

/** A fresh page; errors of the page's own code fail the test. */
async function visit(t, address, options = {}) {
  const context = await newContext({ viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  const errors = []
  page.on('pageerror', (error) => errors.push(error))
  t.after(async () => {
    await context.close()
    assert.deepEqual(errors, [])
  })
  await page.goto(`${root}#${address}`)
  return page
}

/** The address of the failed build with the million-line log. */
async function bigLog() {
  const { builds } = await (
    await fetch(`${root}api/v2/builders/1/builds?results=2&order=-number&limit=1`)
  ).json()
  return `/builders/1/builds/${builds[0].number}/steps/4/logs/stdio`
}

const scroller = (page) => page.locator('section[aria-label^="Log "]')
const shownLines = (page) =>
  scroller(page).evaluate((element) => {
    const box = element.getBoundingClientRect()
    return [...element.querySelectorAll('[data-line]')]
      .filter((number) => {
        const { top, bottom } = number.getBoundingClientRect()
        return top >= box.top - 1 && bottom <= box.bottom + 1
      })
      .map((number) => Number(number.dataset.line))
  })
/** Polls until `check` of the lines on screen holds; gives those lines. */
async function linesUntil(page, check, what) {
  const until = Date.now() + PATIENCE_MS
  for (;;) {
    const lines = await shownLines(page)
    if (lines.length > 5 && check(lines)) return lines
    assert.ok(Date.now() < until, `${what}; on screen are ${lines[0]} to ${lines.at(-1)}`)
    await page.evaluate(() => new Promise(requestAnimationFrame))
  }
}
const consecutive = (lines) => lines.every((line, i) => i === 0 || line === lines[i - 1] + 1)

test('a million lines: bounded, exact at both ends, no line skipped', async (t) => {
  const page = await visit(t, `${await bigLog()}?L=1`)
  await linesUntil(page, (lines) => lines[0] === 0, 'line 1 is shown')

  await scroller(page).focus()
  await page.keyboard.press('End')
  const end = await linesUntil(page, (lines) => lines.at(-1) === 999_999, 'End shows the last line')
  assert.ok(consecutive(end))
  await page.getByText('program finished with exit code 101').waitFor()

  // The thumb in the middle shows the middle.
  await scroller(page).evaluate((element) => {
    element.scrollTop = (element.scrollHeight - element.clientHeight) / 2
  })
  const middle = (lines) => Math.abs((lines[0] + lines.at(-1)) / 2 - 500_000) < 3
  let lines = await linesUntil(page, middle, 'the middle is shown')

  // The wheel goes pixel by pixel.
  const box = await scroller(page).boundingBox()
  await page.mouse.move(box.x + 300, box.y + 200)
  for (let i = 0; i < 12; i++) {
    const first = lines[0]
    await page.mouse.wheel(0, 200)
    lines = await linesUntil(page, (now) => now[0] >= first + 9, 'the wheel moves the log')
    assert.ok(consecutive(lines))
    assert.ok(lines[0] - first <= 21, `one turn of the wheel went from line ${first} to ${lines[0]}`)
  }

  await page.keyboard.press('Home')
  await linesUntil(page, (now) => now[0] === 0, 'Home shows the first line')
  const elements = await scroller(page).evaluate((element) => element.querySelectorAll('*').length)
  assert.ok(elements < 1500, `${elements} elements`)
})

test('slow scrolling up reaches the very first line', async (t) => {
  const page = await visit(t, `${await bigLog()}?L=60`)
  let lines = await linesUntil(page, (now) => now[0] > 20, 'line 60 is shown')
  const box = await scroller(page).boundingBox()
  await page.mouse.move(box.x + 300, box.y + 200)
  for (let i = 0; i < 40 && lines[0] > 0; i++) {
    const first = lines[0]
    await page.mouse.wheel(0, -120)
    lines = await linesUntil(page, (now) => now[0] < first, 'the wheel moves the log')
  }
  assert.equal(lines[0], 0)
})

test('a line in the address is shown, a click on a number changes it, the log grows no history', async (t) => {
  const page = await visit(t, `${await bigLog()}?L=700000-700003`)
  await page.locator('[data-selected]').first().waitFor()
  assert.equal(await page.locator('[data-selected]').count(), 4)
  const length = await page.evaluate(() => history.length)
  await page.locator('[data-line="700010"]').click()
  await page.waitForURL(/L=700011$/)
  await page.locator('[data-line="700012"]').click({ modifiers: ['Shift'] })
  await page.waitForURL(/L=700011-700013$/)
  assert.equal(await page.evaluate(() => history.length), length)
  await page.getByRole('button', { name: /Copy link to 700011-700013/ }).waitFor()
})

test('search finds a needle in a million lines and can be stopped', async (t) => {
  const page = await visit(t, `${await bigLog()}?L=1`)
  await page.getByRole('searchbox').fill('truncated input must be refused')
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByText('stopped, nothing found').waitFor()
  await page.getByRole('searchbox').fill('input must be REFUSED')
  await page.getByText('1 of 1 line').waitFor()
  await page.locator('mark, [class*="hit"]').first().waitFor()
  assert.ok((await shownLines(page)).includes(999_994))
  await page.getByRole('button', { name: 'Regular expression' }).click()
  await page.getByRole('searchbox').fill('(')
  await page.getByText(/Invalid regular expression/).waitFor()
})

test('a fast log is followed, and scrolling up ends that', async (t) => {
  const { builds } = await (await fetch(`${root}api/v2/builders/3/builds?complete=false`)).json()
  const { steps } = await (await fetch(`${root}api/v2/builds/${builds[0].buildid}/steps`)).json()
  const page = await visit(
    t,
    `/builders/3/builds/${builds[0].number}/steps/${steps.at(-1).number}/logs/stdio`,
  )
  const follow = page.getByRole('button', { name: 'Follow' })
  await follow.waitFor()
  assert.equal(await follow.getAttribute('aria-pressed'), 'true')
  await linesUntil(page, (lines) => lines.at(-1) > 1000, 'the end of the log is shown')
  const later = (await shownLines(page)).at(-1)
  await linesUntil(page, (lines) => lines.at(-1) > later + 1000, 'the log is followed')
  const box = await scroller(page).boundingBox()
  await page.mouse.move(box.x + 300, box.y + 200)
  await page.mouse.wheel(0, -300)
  await page.locator('button[aria-pressed="false"]', { hasText: 'Follow' }).waitFor()
  // The log goes on growing, what is read stays.
  const length = async () =>
    Number((await page.getByText(/^[\d,]+ lines/).textContent()).replaceAll(/\D/g, ''))
  const rests = (await shownLines(page)).at(-1)
  const grown = (await length()) + 2000
  await page.waitForFunction(
    (least) =>
      Number(
        /([\d,]+) lines/.exec(document.querySelector('[role=toolbar]').textContent)[1].replaceAll(',', ''),
      ) > least,
    grown,
  )
  assert.equal((await shownLines(page)).at(-1), rests)
  await follow.click()
  await linesUntil(page, (lines) => lines.at(-1) > grown, 'the log is followed again')
})

test('the login link logs in and leaves no token in address and history', async (t) => {
  const page = await visit(t, '/login?token=demo-token')
  await page.getByText('You are logged in.').waitFor()
  await page.getByRole('button', { name: 'Log out' }).waitFor()
  assert.ok(!page.url().includes('token'))
  await page.getByRole('button', { name: 'Log out' }).click()
  // Also in a page that is open already, and on the login page itself.
  for (const place of ['#/builders', '#/login']) {
    await page.goto(`${root}${place}`)
    await page.getByRole('button', { name: 'Log in' }).first().waitFor()
    await page.evaluate(() => {
      location.hash = '#/login?token=demo-token'
    })
    await page.getByRole('button', { name: 'Log out' }).click()
    assert.ok(!page.url().includes('token'))
  }
  await page.goBack()
  assert.ok(!page.url().includes('demo-token'))
})

test('control without login asks for it, says why, and goes on', async (t) => {
  const page = await visit(t, '/workers')
  await page.getByRole('button', { name: /^Pause ash-01/ }).click()
  await page.getByLabel('Reason').fill('testing')
  await page.getByRole('button', { name: 'Pause', exact: true }).last().click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText(/To pause ash-01, log in\. The master said: you need to have role/).waitFor()
  await dialog.getByLabel('Admin token').fill('wrong')
  await dialog.getByRole('button', { name: 'Log in' }).click()
  await dialog.getByText(/does not accept this token/).waitFor()
  await dialog.getByLabel('Admin token').fill('demo-token')
  await dialog.getByRole('button', { name: 'Log in' }).click()
  await page.getByText('ash-01 takes no new builds.').waitFor()
  await page.getByRole('button', { name: 'Unpause ash-01' }).waitFor()
  await page.getByText('testing').waitFor()
  await page.getByRole('button', { name: 'Unpause ash-01' }).click()
  await page.getByRole('button', { name: /^Pause ash-01/ }).waitFor()
})

test('the force form shows the master’s complaints at the fields, then follows the build', async (t) => {
  const page = await visit(t, '/login?token=demo-token')
  await page.getByText('You are logged in.').waitFor()
  await page.goto(`${root}#/builders/12`)
  await page.getByRole('button', { name: 'Force a build' }).click()
  await page.getByLabel('iprop').fill('12')
  assert.equal(await page.getByLabel('Your name').count(), 0)
  await page.getByLabel('Branch').fill('nope')
  await page.getByRole('button', { name: 'Start build' }).click()
  await page.getByText(/does not match pattern/).waitFor()
  assert.equal(await page.getByLabel('Branch').getAttribute('aria-invalid'), 'true')
  await page.getByLabel('Branch').fill('main')
  await page.getByRole('button', { name: 'Start build' }).click()
  await page.waitForURL(/#\/buildrequests\/\d+$/)
  await page.waitForURL(/#\/builders\/12\/builds\/\d+$/)
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByLabel('Reason').fill('enough')
  await page.getByRole('button', { name: 'Stop the build' }).click()
  // Only a build that is over has this; that a step was cancelled may be told before.
  await page.getByRole('button', { name: 'Rebuild' }).waitFor()
  await page.getByText('Cancelled').first().waitFor()
  assert.match(await page.title(), /^⊘ Cancelled · .* – Ironmaster$/)
})

test('a running build ticks and grows by itself', async (t) => {
  const page = await visit(t, '/')
  const took = page.locator('tbody tr').first().locator('time').last()
  await took.waitFor()
  const before = await took.textContent()
  await page.waitForFunction(
    ([element, text]) => element.textContent !== text,
    [await took.elementHandle(), before],
  )
})

test('a thousand builders: three requests, bounded rows', async (t) => {
  const context = await newContext()
  t.after(() => context.close())
  const page = await context.newPage()
  const asked = []
  page.on('request', (request) => {
    const { pathname, search } = new URL(request.url())
    if (pathname.includes('/api/v2/')) asked.push(pathname.split('/api/v2/')[1] + search)
  })
  await page.goto(`${root}#/builders`)
  await page
    .getByLabel(/^Last builds of/)
    .nth(5)
    .waitFor()
  // Builders, newest builds, pending requests; running builds and pending requests for the bar above.
  const ofQuiet = asked.filter((address) => /^builds\?builderid=/.test(address))
  assert.ok(asked.length - ofQuiet.length <= 5, asked.join('\n'))
  // And quiet builders in one, if that is asked already; or in two, if the page had rested before it knew how many there is room for.
  assert.ok(ofQuiet.length <= 2, asked.join('\n'))
  assert.ok((await page.locator('tbody tr').count()) < 60)
  await page.mouse.wheel(0, 200_000)
  await page.getByRole('link', { name: 'zlib-windows-tsan', exact: true }).waitFor()
  await page.getByRole('searchbox').fill('musl asan')
  await page.getByText('Matching builders').waitFor()
})

test('a lost connection is told, and after it everything is read again', async (t) => {
  const port = await freePort()
  const own = await startMock(port)
  t.after(() => own.child.kill())
  const context = await newContext()
  t.after(() => context.close())
  const page = await context.newPage()
  await page.goto(`${own.root}#/workers`)
  await page.getByText('24').first().waitFor()
  own.child.kill()
  await page.getByText(/Connection lost, reconnecting/).waitFor()
  // The page tries again by itself, maybe before this test knows that the server is back.
  const reread = page.waitForResponse(
    (response) => response.url().includes('/api/v2/workers') && response.ok(),
  )
  const again = await startMock(port)
  t.after(() => again.child.kill())
  await page
    .getByRole('button', { name: 'Try now' })
    .click({ timeout: 5000 })
    .catch(() => undefined)
  await reread
  await page.getByText(/Connection lost/).waitFor({ state: 'hidden' })
})

test('keys: skip link, tabs, theme', async (t) => {
  const page = await visit(t, '/')
  await page.locator('h1').waitFor()
  await page.keyboard.press('Tab')
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Skip to content')
  await page.keyboard.press('Enter')
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'main')
  await page.getByRole('button', { name: /^Theme/ }).click()
  await page.getByRole('button', { name: /^Theme/ }).click()
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark')
  await page.reload()
  await page.locator('h1').waitFor()
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark')
})

test('old addresses lead to the same places', async (t) => {
  const page = await visit(t, '/builds/1')
  await page.waitForURL(/#\/builders\/\d+\/builds\/\d+$/)
  await page.goto(`${root}#/builders/zlib-linux-release`)
  await page.waitForURL(/#\/builders\/1$/)
  await page.goto(`${root}#/builders/1/`)
  await page.getByRole('heading', { name: 'zlib-linux-release' }).waitFor()
  await page.goto(`${root}#/builders?tags=%2Basan`)
  await page.getByText('Matching builders').waitFor()
})

test('the graph of a run: keys go from job to job, an approval is seen at once, a click leads to the build', async (t) => {
  const page = await visit(t, '/login?token=demo-token')
  await page.getByText('You are logged in').first().waitFor()
  await page.goto(`${root}#/runs/14`)
  const graph = page.getByRole('region', { name: 'Graph of the jobs' })
  await graph.getByRole('link', { name: /compile/ }).focus()
  await page.keyboard.press('Tab')
  assert.match(await page.evaluate(() => document.activeElement.textContent), /^documentation/)

  await page.getByRole('button', { name: 'Approve sign' }).click()
  await page.getByLabel('Reason').fill('it looks good')
  await page.getByRole('button', { name: 'Approve the job' }).click()
  await page.getByRole('row', { name: /Succeeded sign/ }).waitFor()
  await graph
    .getByRole('link', { name: /sign.*Succeeded/ })
    .or(graph.getByRole('button', { name: /sign.*Succeeded/ }))
    .waitFor()

  await graph.getByRole('link', { name: /compile/ }).click()
  await page.waitForURL(/#\/builders\/\d+\/builds\/\d+$/)
})
