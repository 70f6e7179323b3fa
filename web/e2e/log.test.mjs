// Logs as commands on a worker write them: a million lines, one giant line, colours.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builder, button, gate, step } from './commands.mjs'
import { linesUntil, scroller } from './site.mjs'
import { oneWorker, suite } from './suite.mjs'

const MILLION = 1_000_000
const GIANT = 50 * 1024 * 1024
// Remarks of the master come first: the command and its directory.
const HEAD = 2

const site = suite(async () => {
  const fleet = await oneWorker([
    builder('million', [step('count', `seq -f 'line %.0f of the log' 1 ${MILLION}`)]),
    builder('giant', [
      step(
        'shout',
        `echo before; head -c ${GIANT} /dev/zero | tr '\\0' x; echo; printf 'que%s\\n' nch; seq 1 2000`,
      ),
    ]),
    builder('motley', [
      step(
        'paint',
        "printf 'plain \\033[31mred\\033[0m \\033[1;32mbold green\\033[0m\\n'; seq -s ' word ' 1 400; for i in $(seq 1 3000); do echo short $i; done",
      ),
      step('complain', 'for i in 1 2 3; do printf "complaint %d\\n" $i >&2; done'),
    ]),
    builder('growing', [
      step(
        'grow',
        [
          ['one', 'more'],
          ['two', 'most'],
          ['three', 'end'],
        ]
          .map(
            ([part, name]) =>
              `for i in $(seq 1 500); do echo ${part} $i ${'long '.repeat(60)}; done; ${gate(name)}`,
          )
          .join('; '),
      ),
    ]),
    button('grow', ['growing']),
    button('now', ['million', 'giant', 'motley']),
  ])
  await fleet.force('now', { builderNames: ['million', 'giant', 'motley'] })
  await fleet.idle()
  return fleet
})

async function open(t, name, query = '', number = 0) {
  const { builderid } = await site.fleet.finished(name)
  const page = await site.visit(t, `/builders/${builderid}/builds/1/steps/${number}/logs/stdio${query}`)
  await scroller(page).waitFor()
  return page
}

/** Each line on screen is the one that the command wrote at that place, and none is missing between them. */
function assertLines(lines) {
  for (const [i, { index, text }] of lines.entries()) {
    if (i > 0) assert.equal(index, lines[i - 1].index + 1)
    if (index >= HEAD && index < HEAD + MILLION) assert.equal(text, `line ${index - HEAD + 1} of the log`)
  }
}

test('a million lines: right ones at every place, smooth, and a bounded page', async (t) => {
  const page = await open(t, 'million', '?L=1')
  const elements = () => page.evaluate(() => document.querySelectorAll('*').length)
  await page.getByText(`${(MILLION + HEAD + 1).toLocaleString('en-US')} lines`).waitFor()
  assertLines(await linesUntil(page, 'the first line', ([first]) => first.index === 0))

  // To the end.
  await page.getByRole('button', { name: 'End' }).click()
  const end = await linesUntil(page, 'the end', (lines) => lines.at(-1).index === MILLION + HEAD)
  assertLines(end)
  assert.match(end.at(-1).text, /exit code 0/)

  // To the middle, as if the thumb were dragged there.
  await scroller(page).evaluate((element) => {
    element.scrollTop = (element.scrollHeight - element.clientHeight) / 2
  })
  const inTheMiddle = (lines) => Math.abs((lines[0].index + lines.at(-1).index) / 2 - MILLION / 2) < 5
  let lines = await linesUntil(page, 'the middle', inTheMiddle)
  assertLines(lines)

  // The wheel goes pixel by pixel, though the whole log is ten times as high as any scroll bar can be.
  const box = await scroller(page).boundingBox()
  await page.mouse.move(box.x + 300, box.y + 200)
  for (const way of [1, 1, 1, 1, 1, 1, -1, -1, -1]) {
    const before = lines[0].index
    await page.mouse.wheel(0, way * 200)
    lines = await linesUntil(page, 'the wheel moves it', ([first]) => (first.index - before) * way >= 9)
    assertLines(lines)
    assert.ok(Math.abs(lines[0].index - before) <= 21, `from line ${before} to ${lines[0].index}`)
  }
  const inPage = await elements()
  t.diagnostic(`a million lines: ${inPage} elements`)
  assert.ok(inPage < 1000, `${inPage} elements`)

  // By keyboard.
  await scroller(page).focus()
  await page.keyboard.press('Home')
  await linesUntil(page, 'Home', ([first]) => first.index === 0)
  await page.keyboard.press('G')
  assertLines(await linesUntil(page, 'G', (all) => all.at(-1).index === MILLION + HEAD))
})

test('a link to a line among a million, and the search for one', async (t) => {
  const page = await open(t, 'million', '?L=700003-700005')
  const chosen = page.locator('[data-selected]')
  await chosen.first().getByText('line 700001 of the log', { exact: true }).waitFor()
  assert.equal(await chosen.count(), 3)
  await scroller(page).press('/')
  await page.keyboard.type('LINE 123456 ')
  await page.getByText('1 of 1 line', { exact: true }).waitFor()
  assertLines(await linesUntil(page, 'the hit', (lines) => lines.some(({ index }) => index === 123_457)))
  assert.equal(await page.locator('mark, [class*="hit"]').count(), 1)
})

test('a line of 50 MB is neither fetched nor shown whole, and what follows it is there', async (t) => {
  const page = await open(t, 'giant', '?L=1')
  const network = await page.context().newCDPSession(page)
  let received = 0
  network.on('Network.dataReceived', ({ dataLength }) => {
    received += dataLength
  })
  await network.send('Network.enable')
  await page.reload()
  const lines = await linesUntil(page, 'the beginning', (all) => all.some(({ text }) => text === 'quench'))
  assert.equal(lines[2].text, 'before')
  assert.match(lines[3].text, /^x{1000}.*raw log/)
  assert.ok(lines[3].text.length < 10_000)
  assert.equal(lines[4].text, 'quench')
  assert.equal(lines[5].text, '1')
  t.diagnostic(`a line of 50 MB: ${(received / 1e6).toFixed(1)} MB were fetched`)
  assert.ok(received < 10e6, `${received} bytes`)

  // The search gets past it, and says what it did not look at.
  await page.getByRole('searchbox').fill('quench')
  await page.getByText('1 of 1 line · 1 line too long to be searched whole', { exact: true }).waitFor()
  assert.ok(received < 20e6, `${received} bytes with the search`)
})

test('colours, and what was written to standard error', async (t) => {
  const page = await open(t, 'motley', '?L=1')
  const colour = (text) =>
    page.getByText(text, { exact: true }).evaluate((element) => getComputedStyle(element).color)
  const red = await colour('red')
  assert.notEqual(red, await colour('bold green'))

  const complaints = await open(t, 'motley', '?L=1', 1)
  await complaints.getByText('complaint 3', { exact: true }).waitFor()
  const lines = complaints.locator('[data-stream="e"]')
  assert.equal(await lines.count(), 3)
  // In a word, too, for those who do not see the colour.
  assert.equal(await lines.getByTitle('standard error').count(), 3)
})

test('long lines are wrapped, and every line can be reached', async (t) => {
  const page = await open(t, 'motley', '?L=1')
  await page.getByText('red', { exact: true }).waitFor()

  // The long line sticks out until it is wrapped.
  const wide = () => scroller(page).evaluate((element) => element.scrollWidth - element.clientWidth)
  assert.ok((await wide()) > 1000)
  await page.getByRole('button', { name: 'Wrap' }).click()
  await page.locator('[aria-pressed="true"]', { hasText: 'Wrap' }).waitFor()
  assert.equal(await wide(), 0)
  const long = page.getByText(/1 word 2 word 3 .* word 400/)
  assert.ok((await long.boundingBox()).height > 60)

  // Both ends and every line between are reached, in pixels as in any text.
  await scroller(page).focus()
  await page.keyboard.press('End')
  const end = await linesUntil(page, 'the end', (lines) => /exit code 0/.test(lines.at(-1).text))
  await page.keyboard.press('Home')
  let lines = await linesUntil(page, 'the start', ([first]) => first.index === 0)
  const box = await scroller(page).boundingBox()
  await page.mouse.move(box.x + 300, box.y + 200)
  for (let i = 0; i < 12; i++) {
    const before = lines
    await page.mouse.wheel(0, 200)
    lines = await linesUntil(page, 'the wheel moves it', (now) => now.at(-1).index > before.at(-1).index)
    assert.ok(lines[0].index <= before.at(-1).index + 1, 'no line is skipped')
  }
  // The choice is kept.
  await page.reload()
  await page.locator('[aria-pressed="true"]', { hasText: 'Wrap' }).waitFor()
  assert.ok(end.at(-1).index > 3000)
})

test('a growing log is followed while it is wrapped, until one scrolls up', async (t) => {
  const { fleet } = site
  await fleet.force('grow')
  const { builderid } = await fleet.build('growing')
  const page = await site.visit(t, `/builders/${builderid}/builds/1/steps/0/logs/stdio`)
  await page.getByRole('button', { name: 'Wrap' }).click()
  await linesUntil(page, 'the end', (lines) => lines.at(-1).text.startsWith('one 500 '))
  fleet.openGate('more')
  await linesUntil(page, 'what came', (lines) => lines.at(-1).text.startsWith('two 500 '))

  const box = await scroller(page).boundingBox()
  await page.mouse.move(box.x + 300, box.y + 200)
  await page.mouse.wheel(0, -400)
  await page.locator('button[aria-pressed="false"]', { hasText: 'Follow' }).waitFor()
  const [first] = await linesUntil(page, 'it stays', (lines) => !lines.at(-1).text.startsWith('two 500 '))
  fleet.openGate('most')
  await page.getByText(/^1,50\d lines/).waitFor()
  assert.ok((await linesUntil(page, 'it stays', () => true))[0].index <= first.index)
  await page.getByRole('button', { name: 'Follow' }).click()
  await linesUntil(page, 'the end again', (lines) => lines.at(-1).text.startsWith('three 500 '))
  fleet.openGate('end')
  await linesUntil(page, 'the last line', (lines) => /exit code 0/.test(lines.at(-1).text))
})
