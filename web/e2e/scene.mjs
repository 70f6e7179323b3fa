// A small company's builds, for the pictures in the documentation and for checks that concern every page: some
// history, a failure, one build that runs and one that waits.

import { mkdirSync, writeFileSync } from 'node:fs'
import { builder, button, gate, step } from './commands.mjs'
import { Fleet, until, workerSection } from './fleet.mjs'

/** The programs of that company, as shell scripts on the workers' path. */
const PROGRAMS = {
  'forge-compile': `
for unit in crucible bellows tongs quench temper hammer swage; do printf '\\033[1;32m   Compiling\\033[0m %s v0.4.2\\n' $unit; done
sleep $(( PACE * ($(printf %s "$REVISION" | cksum | cut -d' ' -f1) % 5 + 1) ))
printf '\\033[1;32m    Finished\\033[0m release profile\\n'`,
  // On the small boards it fails for the commits whose revision begins with an f.
  'forge-test': `
printf '\\033[1;32m     Running\\033[0m 48 tests in 9 groups\\n'
for test in casts_bar casts_ring keeps_temper; do printf 'test forge::%s ... \\033[32mok\\033[0m\\n' $test; done
case "$1 $REVISION" in
"--on-board f"*)
  printf 'test forge::quenches_in_oil ... \\033[31mFAILED\\033[0m\\n\\n---- forge::quenches_in_oil ----\\n'
  echo "thread 'forge::quenches_in_oil' panicked at crates/forge/src/quench.rs:118:9:" >&2
  echo 'assertion failed: the oil is at 61.25 degrees, expected at most 60' >&2
  echo 'note: the thermometer of this machine was last calibrated in 2019' >&2
  printf '\\ntest result: \\033[31mFAILED\\033[0m. 47 passed; \\033[31m1 failed\\033[0m\\n'
  exit 101 ;;
esac
printf '\\ntest result: \\033[32mok\\033[0m. 48 passed; 0 failed\\n'`,
  'forge-link': `
for part in $(seq 1 400); do printf 'linking \\033[36mobject %03d\\033[0m of 400\\n' $part; done
${gate('release')}`,
  'forge-links': `
echo '3 links lead nowhere' >&2
exit 1`,
}

const ANY = '["*"]'

const REVISION = 'env = { REVISION = "%(src::revision)s" }'

const RELEASE = `[[pipeline]]
name = "release train"
description = "From a commit to what customers get."
[[pipeline.job]]
name = "compile"
builder = "forge-linux"
[[pipeline.job]]
name = "test"
builder = "forge-%(matrix:board)s"
needs = ["compile"]
optional = true
matrix = { board = ["linux", "arm64"] }
[[pipeline.job]]
name = "docs"
builder = "forge-docs"
[[pipeline.job]]
name = "long soak"
builder = "forge-linux"
needs = ["compile"]
when = { branch = "nightly" }
[[pipeline.job]]
name = "laptops"
builder = "forge-macos"
needs = ["compile"]
[[pipeline.job]]
name = "sign"
needs = ["test", "docs", "long soak"]
needs_on = "not_failed"
approval = { prompt = "Is the changelog written?" }
[[pipeline.job]]
name = "publish"
builder = "release"
needs = ["sign", "laptops"]
`

const config = [
  `[[project]]\nname = "forge"\n`,
  workerSection('linux-1', 'slots = 3\nlabels = ["linux"]'),
  workerSection('arm-1', 'slots = 1\nlabels = ["arm"]'),
  workerSection('mac-mini', 'labels = ["macos"]'),
  builder(
    'forge-linux',
    [
      step('configure', 'echo "checking for a hammer... yes"'),
      step('compile', 'forge-compile'),
      step('test', 'forge-test'),
    ],
    'description = "Compiles and tests every commit."\ntags = ["forge", "linux"]\nproject = "forge"',
  ),
  builder(
    'forge-arm64',
    [
      step('compile', 'forge-compile --for-board', REVISION),
      step('test', 'forge-test --on-board', `halt_on_failure = true\n${REVISION}`),
      step('package', 'echo packed'),
      step('clean-up', 'echo swept', 'always_run = true'),
    ],
    'description = "The same on the small boards."\ntags = ["forge", "arm"]\nproject = "forge"',
  ).replace(ANY, '["label:arm"]'),
  builder(
    'forge-docs',
    [
      step('render', 'echo "rendered 212 pages"'),
      step('links', 'forge-links', 'flunk_on_failure = false\nwarn_on_failure = true'),
    ],
    'tags = ["docs"]',
  ),
  builder(
    'release',
    [step('compile', 'forge-compile'), step('link', 'forge-link'), step('publish', 'echo published')],
    'description = "Builds what customers get. Started by hand."\ntags = ["forge", "release"]\nproject = "forge"\nbuilds_max = 1',
  ).replace(ANY, '["label:linux"]'),
  builder(
    'forge-macos',
    [step('compile', 'forge-compile')],
    'tags = ["forge", "macos"]\nproject = "forge"',
  ).replace(ANY, '["mac-mini"]'),
  `[[scheduler]]\nname = "on-commit"\ntype = "any_branch"\nbuilders = ["forge-linux", "forge-arm64", "forge-docs"]\n`,
  `[[scheduler]]\nname = "nightly"\ntype = "periodic"\ninterval = "1d"\nbuilders = ["forge-linux"]\n`,
  button(
    'release-now',
    ['release', 'forge-macos'],
    `button = "Cut a release"
[[scheduler.field]]
name = "version"
type = "string"
label = "Version"
required = true
regex = '[0-9]+\\.[0-9]+'
tooltip = "Two numbers, as in 1.4"
[[scheduler.field]]
name = "channel"
type = "choice"
label = "Channel"
choices = ["stable", "beta"]
[[scheduler.field]]
name = "announce"
type = "bool"
label = "Announce it by mail"
`,
  ),
  RELEASE,
].join('\n')

/** Every page, as a name, an address below `#`, and what is done before it is looked at. */
export const pages = ({ running, failed, runid }) => {
  const build = (b) => `/builders/${b.builderid}/builds/${b.number}`
  const open = (text) => async (page) => page.getByRole('button', { name: text }).first().click()
  const line = (text) => async (page) => page.getByText(text).filter({ visible: true }).first().waitFor()
  const graph = async (page) => {
    await line('Is the changelog written?')(page)
    await line('not connected: mac-mini')(page)
    // Drawn, and put where all of it is in view.
    await page.getByRole('region', { name: 'Graph of the jobs' }).getByText('Needs approval').waitFor()
    await page.waitForFunction(() => {
      const { transform } = document.querySelector('.react-flow__viewport').style
      return !transform.startsWith('translate(0px, 0px)')
    })
  }
  const heading = (name) => async (page) => page.getByRole('heading', { name, exact: true }).waitFor()
  return [
    ['overview', '/', line('Swage: round')],
    ['builders', '/builders', line('Warnings')],
    ['builder', `/builders/${failed.builderid}`, line('Swage: round')],
    ['force', `/builders/${running.builderid}`, open('Cut a release')],
    ['build-running', build(running), line('of 400')],
    ['build-failed', build(failed), line('panicked')],
    ['build-properties', `${build(failed)}?tab=properties`, line('basedir')],
    ['build-changes', `${build(failed)}?tab=changes`, line('Swage')],
    ['log', `${build(failed)}/steps/1/logs/stdio`, line('panicked')],
    ['log-line', `${build(failed)}/steps/1/logs/stdio?L=6-8`, line('panicked')],
    ['pipelines', '/pipelines', line('release train')],
    ['pipeline', '/pipelines/1', line('the spring release')],
    ['run', `/runs/${runid}`, graph],
    ['start-run', '/pipelines/1', open('Start')],
    ['request', `/buildrequests/${running.buildrequestid + 1}`, line('next in line')],
    ['pending', '/pendingbuildrequests', line('forge-macos')],
    ['workers', '/workers', line('arm-1')],
    ['worker', '/workers/1', line('Debian')],
    ['changes', '/changes', line('Bellows')],
    ['change', '/changes/2', line('Quench')],
    ['schedulers', '/schedulers', line('nightly')],
    ['about', '/about', heading('About this site')],
    ['login', '/login', line('You are logged in as')],
    ['not-found', '/waterfall', line('There is no such page here')],
    ['missing-build', `/builders/${failed.builderid}/builds/99999`, line('There is no build 99999')],
  ]
}

const COMMITS = [
  [
    '9c41d2e07ab5',
    'Ada Kiln <ada@forge.example>',
    'Bellows: do not blow backwards\n\nSeen on Tuesdays only.',
  ],
  ['f3b8806d1c2e', 'Bruno Anvil <bruno@forge.example>', 'Quench in oil that is warm already'],
  ['27de0a94f6c1', 'Ada Kiln <ada@forge.example>', 'Tongs are left-handed where the smith is'],
  ['b05c7731e98d', 'Chinwe Okafor <chinwe@forge.example>', 'Temper: keep the colour of the steel in a table'],
  ['41aa90d7e3f2', 'Chinwe Okafor <chinwe@forge.example>', 'Anvil: ring in tune'],
  ['6d2f17b8c905', 'Ada Kiln <ada@forge.example>', 'Crucible: say how hot it is, not that it is hot'],
  ['e0c5d9127ab4', 'Chinwe Okafor <chinwe@forge.example>', 'Remove the old bellows'],
  ['f81e64c20b7a', 'Bruno Anvil <bruno@forge.example>', 'Swage: round corners of square holes'],
]

/** Starts it and builds its history, with `pace` slower than it could; gives the fleet and the builds to look at. */
export async function makeScene(pace = 0) {
  const fleet = await Fleet.make(config, 'title = "Forge builds"')
  fleet.environment = { PACE: String(pace), PATH: `${fleet.path('bin')}:${process.env.PATH}` }
  mkdirSync(fleet.path('bin'))
  for (const [name, text] of Object.entries(PROGRAMS))
    writeFileSync(fleet.path(`bin/${name}`), `#!/bin/sh${text}\n`, { mode: 0o755 })
  await fleet.startMaster()
  await fleet.startWorker('linux-1')
  await fleet.startWorker('arm-1')
  for (const [revision, author, comments] of COMMITS) {
    await fleet.change({
      revision,
      author,
      comments,
      branch: 'main',
      project: 'forge',
      repository: 'https://git.forge.example/forge.git',
      files: JSON.stringify(['crates/forge/src/quench.rs', 'docs/quenching.md']),
      revlink: `https://git.forge.example/forge/commit/${revision}`,
    })
    await fleet.idle()
  }
  await fleet.force('release-now', {
    builderNames: ['release'],
    version: '1.4',
    reason: 'the spring release',
  })
  await fleet.force('release-now', { builderNames: ['release'], version: '1.5', reason: 'next in line' })
  await fleet.force('release-now', {
    builderNames: ['forge-macos'],
    version: '1.4',
    reason: 'for the laptops',
  })
  const failed = await fleet.finished('forge-arm64')
  const { runid } = await fleet.call('pipelines/1', 'start', {
    branch: 'main',
    revision: COMMITS.at(-1)[0],
    repository: 'https://git.forge.example/forge.git',
    reason: 'the spring release',
  })
  await until('the run waits for somebody', async () => {
    const { jobs } = await fleet.get(`runs/${runid}/jobs?state=awaiting_approval`)
    return jobs.length > 0
  })
  const running = await fleet.build('release', (build) => build.state_string !== '')
  return { fleet, running, failed, runid }
}
