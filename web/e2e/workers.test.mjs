// What the pages tell of a worker, and what can be asked of it there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builder, button, gate, step } from './commands.mjs'
import { accessibilityProblems, logIn } from './site.mjs'
import { oneWorker, suite } from './suite.mjs'

const site = suite(() =>
  oneWorker([builder('held', [step('wait', gate('open'))]), button('now', ['held'], 'button = "Go"')]),
)

test('a worker is told to finish, ends, comes back, and is ended at once', async (t) => {
  const { fleet } = site
  const page = await site.visit(t, '/workers')
  await logIn(page, fleet)
  await page.goto(`${fleet.root}#/workers/shed`)
  for (const text of ['native', 'a machine in the shed', 'Kind of session', 'Slots'])
    await page.getByText(text, { exact: true }).first().waitFor()
  assert.deepEqual(await accessibilityProblems(page), [])

  await page.goto(`${fleet.root}#/workers`)
  await page.getByText('0 of 4').waitFor()
  await fleet.force('now')
  await page.getByText('1 of 4').waitFor()
  await page.getByRole('link', { name: 'held #1' }).waitFor()
  assert.deepEqual(await accessibilityProblems(page), [])

  await page.getByRole('button', { name: 'Stop shed' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Stop', exact: true }).click()
  await page.getByText('Shutting down', { exact: true }).waitFor()
  fleet.openGate('open')
  await page.getByText('Stopped', { exact: true }).waitFor()
  await page.getByText(/^last connected /).waitFor()

  await fleet.startWorker('shed')
  await page.getByText('Connected', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Kill shed' }).click()
  await page
    .getByRole('dialog')
    .getByText(/What it builds is lost/)
    .waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  assert.equal((await fleet.get('workers/shed')).workers[0].killed, false)
  await page.getByRole('button', { name: 'Kill shed' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Kill', exact: true }).click()
  await page.getByText('Stopped', { exact: true }).waitFor()
})
