// A pipeline as people meet it: started, watched, approved, and tried again where it has failed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builder, gate, step } from './commands.mjs'
import { until, workerSection } from './fleet.mjs'
import { accessibilityProblems, logIn } from './site.mjs'
import { oneWorker, suite } from './suite.mjs'

const site = suite(() =>
  oneWorker([
    workerSection('attic'),
    builder('compile', [step('make', gate('compile'))]),
    builder('test', [step('check', 'echo "on %(prop:os)s"')]),
    builder('old-machine', [step('check', 'true')]).replace('["*"]', '["attic"]'),
    builder('lint', [step('lint', `[ -e "$GATES/gate-lint" ] || exit 3`)]),
    builder('publish', [step('upload', gate('publish'))]),
    `[[pipeline]]
name = "main line"
description = "From a commit to what users get."
[[pipeline.job]]
name = "compile"
builder = "compile"
[[pipeline.job]]
name = "test"
builder = "test"
needs = ["compile"]
matrix = { os = ["linux", "bsd"] }
[[pipeline.job]]
name = "lint"
builder = "lint"
needs = ["compile"]
optional = true
[[pipeline.job]]
name = "attic"
builder = "old-machine"
[[pipeline.job]]
name = "publish"
builder = "publish"
needs = ["test", "lint", "attic"]
approval = { prompt = "Shall it go out?" }
[[pipeline.job]]
name = "announce"
builder = "lint"
needs = ["publish"]
`,
  ]),
)

const mark = (page) =>
  page.evaluate(() => {
    globalThis.sameDocument = true
  })
const isMarked = (page) => page.evaluate(() => globalThis.sameDocument === true)

/** What the graph and the table of a run's page say of a job. */
const inGraph = (page, name) => page.getByRole('region', { name: 'Graph of the jobs' }).getByTitle(name)
const inTable = (page, name) =>
  page.getByRole('row').filter({ has: page.locator('th[scope=row]', { hasText: new RegExp(`^${name}`) }) })

test('a run is started, watched, approved and tried again', async (t) => {
  const { fleet } = site
  const page = await site.visit(t, '/')
  await logIn(page, fleet)
  await page.getByRole('navigation').getByRole('link', { name: 'Pipelines' }).click()
  await page.getByRole('link', { name: 'main line' }).click()
  await page.getByText('From a commit to what users get.').waitFor()
  await page.getByText('This pipeline has not run yet').waitFor()
  assert.deepEqual(await accessibilityProblems(page), [])

  await page.getByRole('button', { name: 'Start', exact: true }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Branch').fill('main')
  await dialog.getByLabel('Reason').fill('to see it')
  await dialog.getByRole('button', { name: 'Start' }).click()
  await page.waitForURL(/#\/runs\/1$/)
  await mark(page)

  // Where each job stands, and why.
  await inGraph(page, 'compile').getByText('Running').waitFor()
  await inGraph(page, /^announce/)
    .getByText('Waiting')
    .waitFor()
  await inTable(page, 'test \\(linux\\)').getByText('it needs compile').filter({ visible: true }).waitFor()
  await inTable(page, 'attic')
    .getByText(/not connected: attic/)
    .filter({ visible: true })
    .waitFor()
  assert.match(await page.title(), /Running · main line #1/)
  assert.deepEqual(await accessibilityProblems(page), [])

  // It goes on, and the page with it.
  fleet.openGate('compile')
  await inGraph(page, 'test (linux)').getByText('Succeeded').waitFor()
  await inGraph(page, 'test (bsd)').getByText('Succeeded').waitFor()
  await inGraph(page, 'lint').getByText('Failed').waitFor()
  await inTable(page, 'lint').getByText('exit code 3').filter({ visible: true }).waitFor()
  await fleet.startWorker('attic')
  await inGraph(page, 'attic').getByText('Succeeded').waitFor()

  // Somebody approves.
  await inTable(page, 'publish').getByText('Needs approval').waitFor()
  await inTable(page, 'publish').getByText('Shall it go out?').filter({ visible: true }).waitFor()
  await page.getByRole('button', { name: 'Approve publish' }).click()
  await page.getByRole('dialog').getByLabel('Reason').fill('looks good')
  await page.getByRole('dialog').getByRole('button', { name: 'Approve the job' }).click()
  await inGraph(page, 'publish').getByText('Running').waitFor()
  fleet.openGate('publish')
  await inGraph(page, 'announce').getByText('Failed').waitFor()
  await page.getByRole('button', { name: 'Retry what failed' }).waitFor()
  assert.match(await page.title(), /Failed · main line #1/)
  assert.deepEqual(await accessibilityProblems(page), [])

  // What has failed is done again, the rest is taken over.
  fleet.openGate('lint')
  await page.getByRole('button', { name: 'Retry announce' }).click()
  await page.waitForURL(/#\/runs\/2$/)
  await inGraph(page, 'announce').getByText('Succeeded').waitFor()
  await inTable(page, 'publish').getByText('taken over from run 1').filter({ visible: true }).waitFor()
  await page.getByRole('link', { name: 'run 1', exact: true }).first().waitFor()
  assert.equal(await isMarked(page), true, 'the page was loaded again')
  await until('the second run has ended', async () => {
    const { runs } = await fleet.get('runs/2')
    return runs[0].complete
  })
  await page.getByRole('link', { name: 'main line' }).click()
  await page
    .getByRole('table', { name: /Runs of main line/ })
    .getByRole('row')
    .nth(2)
    .waitFor()
})

test('a run is stopped, and a job rejected', async (t) => {
  const { fleet } = site
  const { pipelines } = await fleet.get('pipelines?name=main line')
  const { runid } = await fleet.call(`pipelines/${pipelines[0].pipelineid}`, 'start', { branch: 'main' })
  const page = await site.visit(t, '/')
  await logIn(page, fleet)
  await page.goto(`${fleet.root}#/runs/${runid}`)
  await page.getByRole('button', { name: 'Reject publish' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Reject the job' }).click()
  await inTable(page, 'publish').getByText('Rejected', { exact: true }).waitFor()
  await inGraph(page, /^announce/)
    .getByText('Skipped')
    .waitFor()
  await page.getByRole('heading', { level: 1 }).getByText('main line').waitFor()

  const other = await fleet.call(`pipelines/${pipelines[0].pipelineid}`, 'start', { branch: 'main' })
  await page.goto(`${fleet.root}#/runs/${other.runid}`)
  await inGraph(page, 'publish')
    .or(inGraph(page, /^publish/))
    .getByText('Needs approval')
    .waitFor()
  await page.getByRole('button', { name: 'Stop', exact: true }).click()
  await page.getByRole('dialog').getByLabel('Reason').fill('enough')
  await page.getByRole('dialog').getByRole('button', { name: 'Stop the run' }).click()
  await inTable(page, 'publish').getByText('Cancelled', { exact: true }).waitFor()
  await page
    .getByText(/the run was stopped by .*: enough/)
    .first()
    .waitFor()
})
