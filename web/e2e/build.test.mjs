// A build as people meet it: watched, forced, stopped.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { builder, button, gate, step } from './commands.mjs'
import { until } from './fleet.mjs'
import { logIn } from './site.mjs'
import { oneWorker, suite } from './suite.mjs'

const site = suite(() =>
  oneWorker([
    builder('watched', [
      step(
        'rounds',
        `echo 'round one'; ${gate('one')}; echo 'round two'; ${gate('two')}; echo 'round three'`,
      ),
      step('sweep', 'echo swept'),
    ]),
    builder('asked', [step('say', 'echo "size %(prop:size)s, metal %(prop:metal)s, hot %(prop:hot)s"')]),
    builder('endless', [
      step('wait', `echo $$ > "$GATES/endless.pid"; echo 'waiting for ever'; ${gate('never')}`),
    ]),
    button('watch', ['watched']),
    button('stoppable', ['endless']),
    button(
      'ask',
      ['asked'],
      `button = "Ask for one"
[[scheduler.field]]
name = "size"
type = "int"
label = "Size"
default = 3
[[scheduler.field]]
name = "metal"
type = "string"
label = "Metal"
required = true
regex = "[a-z]+"
[[scheduler.field]]
name = "hot"
type = "bool"
label = "Hot"
`,
    ),
  ]),
)

/** Pages that recover or update must do it without being loaded again. */
const mark = (page) =>
  page.evaluate(() => {
    globalThis.sameDocument = true
  })
const isMarked = (page) => page.evaluate(() => globalThis.sameDocument === true)

test('a build is watched from its start to its end, and the overview beside it', async (t) => {
  const { fleet } = site
  const overview = await site.visit(t, '/')
  await overview.getByText('Nothing is running').waitFor()
  await mark(overview)

  await fleet.force('watch', { reason: 'to be looked at' })
  const row = overview.getByRole('table', { name: 'Running builds' }).getByRole('row', { name: /watched/ })
  await row.getByText('Running').waitFor()
  const page = await site.visit(t, '/')
  await page
    .getByRole('link', { name: /watched #1/ })
    .first()
    .click()
  await page.waitForURL(/#\/builders\/\d+\/builds\/1$/)
  await mark(page)

  // The running step is unfolded, its log is followed.
  const log = page.getByRole('region', { name: /^Log stdio/ })
  await log.getByText('round one', { exact: true }).waitFor()
  assert.equal(await log.getByText('round two', { exact: true }).count(), 0)
  fleet.openGate('one')
  await log.getByText('round two', { exact: true }).waitFor()
  assert.match(await page.title(), /Running/)
  fleet.openGate('two')
  await page.getByRole('button', { name: /sweep/ }).waitFor()
  await page.getByText('Succeeded').first().waitFor()
  await page.getByRole('button', { name: 'Rebuild' }).waitFor()
  assert.match(await page.title(), /Succeeded · watched #1/)

  // A finished step keeps its log, a click away.
  await page.getByRole('button', { name: /rounds/ }).click()
  await log.getByText('round three', { exact: true }).waitFor()

  await overview.getByText('Nothing is running').waitFor()
  const done = overview.getByRole('table', { name: 'Builds that ended last' })
  await done.getByRole('row', { name: /Succeeded.*watched/ }).waitFor()
  assert.ok((await isMarked(page)) && (await isMarked(overview)))
})

test('a build is forced with a form that checks what is typed', async (t) => {
  const page = await site.visit(t, '/')
  await logIn(page, site.fleet)
  await page.getByRole('link', { name: 'Builders', exact: true }).click()
  await page.getByRole('link', { name: 'asked', exact: true }).click()
  await page.getByRole('button', { name: 'Ask for one' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Reason').fill('the smith wants it')
  await dialog.getByLabel('Size').fill('12')
  await dialog.getByLabel('Hot').check()
  await dialog.getByLabel('Metal').fill('Iron 2')
  await dialog.getByRole('button', { name: 'Start build' }).click()
  // The master's complaint stands at its field, and what was typed is still there.
  await until(
    'the complaint',
    async () => (await dialog.getByLabel('Metal').getAttribute('aria-invalid')) === 'true',
  )
  assert.equal(await dialog.getByLabel('Metal').inputValue(), 'Iron 2')
  assert.equal(await dialog.getByLabel('Size').inputValue(), '12')
  await dialog.getByLabel('Metal').fill('iron')
  await dialog.getByRole('button', { name: 'Start build' }).click()

  // From the request to its build by itself.
  await page.waitForURL(/#\/builders\/\d+\/builds\/1$/)
  await page.getByText('Succeeded').first().waitFor()
  await page
    .getByText(/the smith wants it/)
    .first()
    .waitFor()
  await page.getByRole('button', { name: /say/ }).click()
  await page.getByText('size 12, metal iron, hot True', { exact: true }).waitFor()

  // Again, with a click.
  await page.getByRole('button', { name: 'Rebuild' }).click()
  await page.waitForURL(/#\/builders\/\d+\/builds\/2$/)
  await page.getByText('Succeeded').first().waitFor()
})

test('a build is stopped, and its process is gone', async (t) => {
  const { fleet } = site
  const page = await site.visit(t, '/')
  await logIn(page, fleet)
  await fleet.force('stoppable')
  const build = await fleet.build('endless')
  await page.goto(`${fleet.root}#/builders/${build.builderid}/builds/1`)
  await page.getByText('waiting for ever', { exact: true }).waitFor()
  const pid = Number(readFileSync(fleet.path('endless.pid'), 'utf8'))
  assert.ok(existsSync(`/proc/${pid}`))

  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByRole('dialog').getByLabel('Reason').fill('it leads nowhere')
  await page.getByRole('button', { name: 'Stop the build' }).click()
  // Only a build that is over has this; that a step was cancelled may be told before.
  await page.getByRole('button', { name: 'Rebuild' }).waitFor()
  await page.getByText('Cancelled').first().waitFor()
  await page
    .getByText(/it leads nowhere/)
    .first()
    .waitFor()
  assert.match(await page.title(), /Cancelled · endless #1/)
  assert.equal((await fleet.finished('endless')).results, 6)
  await until('the command has ended', () => !existsSync(`/proc/${pid}`))
})
