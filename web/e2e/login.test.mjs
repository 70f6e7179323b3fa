// Who may look, and who may press buttons.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builder, button, step } from './commands.mjs'
import { Fleet } from './fleet.mjs'
import { launch, logIn, visit } from './site.mjs'
import { oneWorker, suite } from './suite.mjs'

const sections = [builder('quick', [step('say', 'echo hello')]), button('now', ['quick'], 'button = "Go"')]
const site = suite(() => oneWorker(sections))

test('who has not logged in may look, and is asked for the token before anything changes', async (t) => {
  const { fleet } = site
  const page = await site.visit(t, '/workers')
  await page.getByRole('button', { name: /^Pause shed/ }).click()
  await page.getByLabel('Reason').fill('to be oiled')
  await page.getByRole('button', { name: 'Pause', exact: true }).last().click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText(/To pause shed, log in/).waitFor()
  assert.equal((await fleet.get('workers/shed')).workers[0].paused, false)

  await dialog.getByLabel('Admin token').fill('not-the-token')
  await dialog.getByRole('button', { name: 'Log in' }).click()
  await dialog.getByText(/does not accept this token/).waitFor()
  assert.equal((await fleet.get('workers/shed')).workers[0].paused, false)

  // With the right one, what was asked for is done.
  await dialog.getByLabel('Admin token').fill(fleet.adminToken)
  await dialog.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('button', { name: 'Unpause shed' }).waitFor()
  await page.getByText('to be oiled').waitFor()
  assert.equal((await fleet.get('workers/shed')).workers[0].paused, true)
  await page.getByRole('button', { name: 'Unpause shed' }).click()
  await page.getByRole('button', { name: /^Pause shed/ }).waitFor()

  // A forged click without a session is refused by the master, whatever a page shows.
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('button', { name: 'Log in' }).waitFor()
  const status = await page.evaluate(
    async () =>
      (
        await fetch('api/v2/forceschedulers/now', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'force', params: {} }),
        })
      ).status,
  )
  assert.ok(status === 401 || status === 403, `the answer was ${status}`)
  assert.equal((await fleet.get('buildrequests')).meta.total, 0)
})

test('the login link logs in, survives a restart of the master, and leaves no token in address or history', async (t) => {
  const { fleet } = site
  const page = await site.visit(t, '/')
  await logIn(page, fleet)
  assert.ok(!page.url().includes('token'))
  await fleet.kill('master', 'SIGTERM')
  await fleet.startMaster()
  await page.reload()
  await page.getByRole('button', { name: 'Log out' }).waitFor()
  await page.goBack()
  assert.ok(!page.url().includes(fleet.adminToken))
  // Scripts of the page cannot read the session.
  assert.ok(!(await page.evaluate(() => document.cookie)).includes('session'))
})

test('a site that is closed to strangers shows them nothing but the login', async (t) => {
  const fleet = await Fleet.make(
    sections.join('\n').replace('["*"]', '["nobody"]') +
      '[[worker]]\nname = "nobody"\ntoken = "nobody-has-this-token"\n',
    'reading = "login"',
  )
  const browser = await launch()
  t.after(async () => {
    await browser.close()
    await fleet.stop()
  })
  await fleet.startMaster()
  const page = await visit(t, browser, fleet, '/builders')
  await page.getByRole('button', { name: 'Log in' }).first().waitFor()
  await page
    .getByText(/log in/i)
    .first()
    .waitFor()
  assert.equal(await page.getByText('quick').count(), 0)
  await logIn(page, fleet)
  await page.goto(`${fleet.root}#/builders`)
  await page.getByRole('link', { name: 'quick', exact: true }).waitFor()
})
