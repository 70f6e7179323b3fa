// The master dies while somebody looks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builder, button, gate, step } from './commands.mjs'
import { linesUntil } from './site.mjs'
import { oneWorker, suite } from './suite.mjs'

const ROUNDS = ['one', 'two', 'three']

const site = suite(() =>
  oneWorker([
    builder('tough', [
      step(
        'rounds',
        ROUNDS.map(
          (round) => `for i in $(seq 1 100); do echo "round ${round}, stroke $i"; done; ${gate(round)}`,
        ).join('; '),
      ),
    ]),
    button('now', ['tough']),
  ]),
)

test('kill -9 of the master: the page says so, comes back by itself, and the build goes on', async (t) => {
  const { fleet } = site
  await fleet.force('now')
  const build = await fleet.build('tough')
  const page = await site.visit(t, `/builders/${build.builderid}/builds/1`)
  const workers = await site.visit(t, '/workers')
  await page.getByText('round one, stroke 100', { exact: true }).waitFor()
  await workers.getByText('Connected', { exact: true }).waitFor()
  await page.evaluate(() => {
    globalThis.sameDocument = true
  })

  await fleet.kill('master')
  await page.getByText(/Connection lost, reconnecting/).waitFor()
  await workers.getByText(/Connection lost, reconnecting/).waitFor()
  // What was there stays readable, and the command goes on meanwhile.
  await page.getByText('round one, stroke 100', { exact: true }).waitFor()
  fleet.openGate('one')

  await fleet.startMaster()
  // Nobody clicks.
  await page.getByText('round two, stroke 100', { exact: true }).waitFor()
  await page.getByText(/Connection lost/).waitFor({ state: 'hidden' })
  await workers.getByText(/Connection lost/).waitFor({ state: 'hidden' })
  await workers.getByText('Connected', { exact: true }).waitFor()
  // Events come again, too.
  fleet.openGate('two')
  await page.getByText('round three, stroke 100', { exact: true }).waitFor()
  fleet.openGate('three')
  await page.getByText('Succeeded').first().waitFor()
  assert.ok(await page.evaluate(() => globalThis.sameDocument))

  // One attempt, and each line once.
  const { builds } = await fleet.get('builds')
  assert.deepEqual(
    builds.map(({ number, results }) => [number, results]),
    [[1, 0]],
  )
  await page.goto(`${fleet.root}#/builders/${build.builderid}/builds/1/steps/0/logs/stdio`)
  await linesUntil(page, 'the log begins', ([first]) => first.index === 0)
  const { logchunks } = await fleet.get(`builds/${build.buildid}/steps/0/logs/stdio/contents`)
  const strokes = logchunks[0].content.split('\n').filter((line) => line.startsWith('oround'))
  assert.deepEqual(
    strokes,
    ROUNDS.flatMap((round) => Array.from({ length: 100 }, (_, i) => `oround ${round}, stroke ${i + 1}`)),
  )
})
