// A thousand builders: the pages stay light.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builder, button, step } from './commands.mjs'
import { until } from './fleet.mjs'
import { oneWorker, suite } from './suite.mjs'

const name = (i) => `forge-${String(i).padStart(4, '0')}-${['linux', 'macos', 'arm', 'docs'][i % 4]}`
const BUILT = [1, 2, 3, 500, 999]

const site = suite(async () => {
  const fleet = await oneWorker([
    ...Array.from({ length: 1000 }, (_, i) =>
      builder(
        name(i),
        [step('say', i === 3 ? 'exit 3' : 'true')],
        `tags = ["${name(i).split('-')[2]}", "forge"]`,
      ),
    ),
    button('some', BUILT.map(name)),
    button('late', [name(998)]),
  ])
  await fleet.force('some', { builderNames: BUILT.map(name) })
  await fleet.idle()
  return fleet
})

/** Opens a page anew, and counts what it asks the API for and what it is made of. */
async function open(t, address) {
  const asked = []
  const page = await site.visit(t, address, {
    onRequest: (request) => {
      const { pathname, search } = new URL(request.url())
      if (pathname.includes('/api/v2/')) asked.push(pathname.split('/api/v2/')[1] + search)
    },
  })
  const weigh = () => page.evaluate(() => document.querySelectorAll('*').length)
  return { page, asked, weigh }
}

test('the list of builders: a few requests, a bounded page, all of them reachable', async (t) => {
  const { page, asked, weigh } = await open(t, '/builders')
  await page.getByRole('link', { name: name(0), exact: true }).waitFor()
  await page
    .getByLabel(/^Last builds of/)
    .nth(2)
    .waitFor()
  const elements = await weigh()
  t.diagnostic(`builders: ${asked.length} requests, ${elements} elements`)
  assert.ok(asked.length <= 5, asked.join('\n'))
  assert.ok(elements < 1200, `${elements} elements`)

  await page.mouse.move(600, 400)
  await page.mouse.wheel(0, 500_000)
  await page.getByRole('link', { name: name(999), exact: true }).waitFor()
  const below = await weigh()
  assert.ok(below < 1200, `${below} elements at the end`)
  assert.ok(asked.length <= 6, asked.join('\n'))

  // A build that starts now is seen here.
  await site.fleet.force('late')
  await page.getByLabel(`Last builds of ${name(998)}`).waitFor()

  // Finding one among a thousand.
  await page.getByRole('searchbox').fill('0500 lin')
  await until('one builder is left', async () => (await page.locator('tbody a[class*=name]').count()) === 1)
  await page.getByRole('link', { name: name(500), exact: true }).click()
  await page.getByRole('heading', { name: name(500) }).waitFor()
  await page.goBack()
  assert.equal(await page.getByRole('searchbox').inputValue(), '0500 lin')
})

test('the overview of a thousand builders', async (t) => {
  // A build that ended now would be asked for once more.
  await site.fleet.idle()
  const { page, asked, weigh } = await open(t, '/')
  const done = page.getByRole('table', { name: 'Builds that ended last' })
  await done.getByRole('row', { name: new RegExp(`Failed.*${name(3)}`) }).waitFor()
  await page.getByText('1,000 builders').waitFor()
  const elements = await weigh()
  t.diagnostic(`overview: ${asked.length} requests, ${elements} elements`)
  assert.ok(asked.length <= 6, asked.join('\n'))
  assert.ok(elements < 1200, `${elements} elements`)
})
