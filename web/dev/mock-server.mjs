// A small master for developing the UI without one: REST v2 (reading, control), `/ws`, `/config` and the
// login, over generated data: 1,000 builders, a million-line log, and builds that run as you watch.
//
//     node dev/mock-server.mjs [--port 8010] [--prefix /ci] [--dist dist] [--builders 1000] [--empty] [--steady]
//
// With `--steady` builds run until somebody stops them, so that a test finds the same however slow its machine is.
//
// The admin token is `demo-token`. Not for anything but development: nothing is stored or checked well.

import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { WebSocketServer } from 'ws'
import { addPipelines, plannedJob } from './mock-pipelines.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '8010' },
    prefix: { type: 'string', default: '' },
    dist: { type: 'string', default: join(here, '../dist') },
    builders: { type: 'string', default: '1000' },
    empty: { type: 'boolean', default: false },
    steady: { type: 'boolean', default: false },
  },
})
const prefix = options.prefix.replace(/\/$/, '')
const TOKEN = 'demo-token'
const now = () => Math.floor(Date.now() / 1000)

// Reproducible "random" numbers: screenshots must not differ from run to run.
let seed = 7
const random = () => {
  seed = (seed * 1103515245 + 12345) % 2147483648
  return seed / 2147483648
}
const pick = (list) => list[Math.floor(random() * list.length)]
const hex = (n) => Array.from({ length: n }, () => Math.floor(random() * 16).toString(16)).join('')

// ------------------------------------------------------------------------------------------ data

const db = {
  builders: [],
  workers: [],
  builds: [],
  buildrequests: [],
  buildsets: [],
  steps: [],
  logs: [],
  changes: [],
  schedulers: [],
  forceschedulers: [],
  pipelines: [],
  runs: [],
  jobs: [],
  masters: [{ masterid: 1, name: 'ci.example.org:/srv/ironmaster', active: true, last_active: now() }],
}
const ids = { build: 0, request: 0, set: 0, step: 0, log: 0, change: 0 }
const numbers = new Map()

const PEOPLE = [
  'Ada Marsh <ada@example.org>',
  'Jun Okada <jun@example.org>',
  'Mara Weiss <mara@example.org>',
  'Tomás Rey <tomas@example.org>',
]
const SUBJECTS = [
  'Fix the race between flush and close',
  'Speed up the dictionary builder by 8 %',
  'docs: say what the window size means',
  'Use the checked allocator in the fuzz target',
  'Drop support for the old container format',
  'tests: cover empty input and one-byte input',
  'Read the level from the environment, too',
]
const FORCE = JSON.parse(readFileSync(join(here, '../src/test/captures/forceschedulers.json'), 'utf8')).body
  .forceschedulers[0]

function addChange(at) {
  ids.change += 1
  const revision = hex(40)
  const stamp = {
    ssid: ids.change,
    branch: pick(['main', 'main', 'main', 'stable-2']),
    revision,
    project: 'zlib',
    repository: 'https://git.example.org/zlib.git',
    codebase: '',
    created_at: at,
    patch: null,
  }
  const author = pick(PEOPLE)
  const change = {
    changeid: ids.change,
    author,
    committer: author,
    branch: stamp.branch,
    category: null,
    codebase: '',
    comments: `${pick(SUBJECTS)}\n\nThe longer story: what was wrong, how it showed, and why this\nis the right place to change it.\n`,
    files: Array.from({ length: 1 + Math.floor(random() * 6) }, () =>
      pick([
        'src/deflate.c',
        'src/inflate.c',
        'tests/roundtrip.c',
        'CMakeLists.txt',
        'doc/window.md',
        'src/trees.h',
      ]),
    ).filter((file, i, all) => all.indexOf(file) === i),
    parent_changeids: [],
    project: 'zlib',
    properties: {},
    repository: stamp.repository,
    revision,
    revlink: `https://git.example.org/zlib/commit/${revision}`,
    sourcestamp: stamp,
    when_timestamp: at,
  }
  db.changes.push(change)
  return change
}

function addRequest(builderid, reason, at, more = {}) {
  ids.set += 1
  ids.request += 1
  const change = more.change ?? pick(db.changes)
  const buildset = {
    bsid: ids.set,
    complete: false,
    complete_at: null,
    external_idstring: null,
    parent_buildid: null,
    parent_relationship: null,
    reason,
    rebuilt_buildid: null,
    results: null,
    sourcestamps: change ? [change.sourcestamp] : [],
    submitted_at: at,
  }
  const request = {
    buildrequestid: ids.request,
    buildsetid: ids.set,
    builderid,
    priority: more.priority ?? 0,
    claimed: false,
    claimed_at: null,
    claimed_by_masterid: null,
    complete: false,
    complete_at: null,
    results: -1,
    submitted_at: at,
    waited_for: false,
    properties: {
      reason: [more.note ?? reason, 'Force Build Form'],
      owner: [more.owner ?? change?.author ?? 'nobody', 'Change'],
      scheduler: [more.scheduler ?? 'on-push', 'Scheduler'],
    },
  }
  db.buildsets.push(buildset)
  db.buildrequests.push(request)
  return { buildset, request, change }
}

function addBuild({ request, buildset, change }, workerid, at) {
  ids.build += 1
  const number = (numbers.get(request.builderid) ?? 0) + 1
  numbers.set(request.builderid, number)
  const builder = db.builders[request.builderid - 1]
  const worker = db.workers[workerid - 1]
  Object.assign(request, { claimed: true, claimed_at: at, claimed_by_masterid: 1 })
  const build = {
    buildid: ids.build,
    number,
    builderid: request.builderid,
    buildrequestid: request.buildrequestid,
    workerid,
    masterid: 1,
    started_at: at,
    complete: false,
    complete_at: null,
    locks_duration_s: random() < 0.1 ? 12 : 0,
    results: null,
    state_string: 'building',
    all: {
      builderid: [request.builderid, 'Builder'],
      buildername: [builder.name, 'Builder'],
      buildnumber: [number, 'Build'],
      branch: [change?.branch ?? 'main', 'Build'],
      revision: [change?.revision ?? '', 'Build'],
      got_revision: [change?.revision ?? hex(40), 'git'],
      repository: [change?.repository ?? '', 'Build'],
      project: ['zlib', 'Build'],
      codebase: ['', 'Build'],
      workername: [worker.name, 'Worker'],
      builddir: [`/var/lib/ironmaster-worker/${builder.name}/0`, 'Worker'],
      matrix: [{ os: 'linux', features: ['simd', 'threads'] }, 'Builder'],
      incremental: [true, 'Builder'],
      ...request.properties,
    },
    buildset,
    change,
  }
  db.builds.push(build)
  return build
}

function addStep(build, name, state, started, took, results, urls = []) {
  ids.step += 1
  const step = {
    stepid: ids.step,
    number: db.steps.filter((each) => each.buildid === build.buildid).length,
    name,
    buildid: build.buildid,
    started_at: started,
    locks_acquired_at: started,
    complete: results !== null,
    complete_at: results === null ? null : started + took,
    results,
    state_string: state,
    urls,
    hidden: name === 'worker_preparation' && random() < 0.5,
  }
  db.steps.push(step)
  return step
}

/** `text(i)` gives line i with its stream letter; nothing is kept in memory. */
function addLog(step, name, lines, text, complete = true, type = 's') {
  ids.log += 1
  const log = {
    logid: ids.log,
    name,
    slug: name.replaceAll(/\W/g, '_'),
    stepid: step.stepid,
    complete,
    num_lines: lines,
    type,
    text,
  }
  db.logs.push(log)
  return log
}

function finish(build, results, at, state) {
  Object.assign(build, {
    complete: true,
    complete_at: at,
    results,
    state_string:
      state ??
      [
        'build successful',
        'warnings compile',
        "failed 'make check'",
        'skipped',
        'exception upload',
        'retry worker lost',
        'cancelled (user stop)',
      ][results],
  })
  const request = db.buildrequests[build.buildrequestid - 1]
  Object.assign(request, { complete: true, complete_at: at, results })
  Object.assign(build.buildset, { complete: true, complete_at: at, results })
}

const CRATES = ['bytes', 'memchr', 'serde', 'tokio', 'zstd-sys', 'rusqlite', 'axum', 'regex-automata']
const E = '\u001b'
function compileLine(i) {
  if (i === 0) return `h$ cargo test --workspace --locked`
  if (i === 1) return 'h  in /var/lib/ironmaster-worker/test-linux/0 (silence timeout 1200 s)'
  if (i === 2) return 'h  environment: CARGO_TERM_COLOR=always'
  const n = i % 40
  if (n === 17) return `e${E}[1m${E}[33mwarning${E}[0m${E}[1m: unused variable: \`offset_${i}\`${E}[0m`
  if (n === 18) return `e  ${E}[1m${E}[34m-->${E}[0m src/window.rs:${i % 900}:13`
  if (n === 31)
    return `oDownloaded ${pick(CRATES)} from https://static.example.org/crates/${i}.crate (12.4 KiB)`
  if (n % 3 === 0)
    return `o${E}[1m${E}[32m   Compiling${E}[0m ${CRATES[i % CRATES.length]} v1.${i % 90}.${i % 7}`
  return `otest window::case_${String(i).padStart(7, '0')} ... ${E}[32mok${E}[0m`
}
const failureTail = (total) => (i) => {
  const left = total - i
  if (left === 9)
    return `e${E}[1m${E}[31merror${E}[0m${E}[1m: test failed, to rerun pass \`-p zlib --lib\`${E}[0m`
  if (left === 8) return 'e'
  if (left === 7) return "ethread 'inflate::truncated' panicked at src/inflate.rs:412:9:"
  if (left === 6) return 'eassertion `left == right` failed: truncated input must be refused'
  if (left === 5) return `e  left: ${E}[31mOk(0)${E}[0m`
  if (left === 4) return `e right: ${E}[32mErr(UnexpectedEof)${E}[0m`
  if (left === 3) return 'e'
  if (left === 2)
    return `otest result: ${E}[31mFAILED${E}[0m. 812 passed; 1 failed; 3 ignored; finished in 41.20s`
  if (left === 1) return 'hprogram finished with exit code 101, elapsed 41.9 s'
  return compileLine(i)
}

function addSteps(build, results, took, small = true) {
  const t = build.started_at
  addStep(build, 'worker_preparation', `worker ${db.workers[build.workerid - 1].name} ready`, t, 0, 0)
  const git = addStep(build, 'git', `checked out ${build.all.got_revision[0].slice(0, 10)}`, t, 3, 0)
  addLog(git, 'stdio', 14, (i) =>
    i < 2 ? `h$ git fetch --progress origin main` : `eremote: Counting objects: ${i * 7} % (${i})`,
  )
  const configure = addStep(build, 'configure', "'./configure'", t + 3, 4, 0)
  addLog(configure, 'stdio', 220, (i) => `ochecking for feature ${i}... yes`)
  const compile = addStep(
    build,
    'compile',
    "'make -j8'",
    t + 7,
    Math.max(1, Math.floor(took * 0.5)),
    results === 1 ? 1 : 0,
  )
  addLog(compile, 'stdio', 4000, compileLine)
  if (results === 1)
    addLog(compile, 'warnings (2)', 2, (i) => `src/deflate.c:${i}: warning: unused parameter`, true, 't')
  const lines = small ? 1600 : 1_000_000
  const check = addStep(
    build,
    'check',
    results === 2 ? "'make check' (failure)" : "'make check'",
    t + 7 + Math.floor(took * 0.5),
    Math.max(1, took - 7 - Math.floor(took * 0.5)),
    results === 2 ? 2 : results === 4 ? 4 : results === 6 ? 6 : 0,
    [{ name: 'coverage', url: 'https://coverage.example.org/zlib' }],
  )
  addLog(check, 'stdio', lines, results === 2 ? failureTail(lines) : compileLine)
  addLog(
    check,
    'test-report',
    9,
    (i) =>
      [
        '<h1>Report</h1>',
        '<p>813 tests</p>',
        '<ul>',
        '<li>inflate</li>',
        '<li>deflate</li>',
        '</ul>',
        '<script>document.body.textContent="scripts run"</script>',
        '<p>end</p>',
        '',
      ][i],
    true,
    'h',
  )
  if (results === 0 || results === 1) {
    const upload = addStep(build, 'upload', 'uploading 3 files', t + took - 1, 1, 0)
    addLog(upload, 'stdio', 0, () => '')
  }
}

if (!options.empty) {
  const start = now() - 86400 * 9
  const total = Number(options.builders)
  const systems = ['linux', 'freebsd', 'windows', 'macos', 'illumos']
  const kinds = ['release', 'debug', 'asan', 'tsan', 'fuzz', 'docs', 'cross-arm', 'cross-riscv']
  const projects = [
    'zlib',
    'libpng',
    'harfbuzz',
    'freetype',
    'sqlite',
    'curl',
    'nghttp2',
    'openssl',
    'busybox',
    'musl',
  ]
  for (let id = 1; id <= total; id++) {
    const project = projects[(id - 1) % projects.length]
    const system = systems[Math.floor((id - 1) / 10) % systems.length]
    const kind = kinds[Math.floor((id - 1) / 50) % kinds.length]
    const round = Math.floor((id - 1) / 400)
    db.builders.push({
      builderid: id,
      name: `${project}-${system}-${kind}${round > 0 ? `-${round + 1}` : ''}`,
      masterids: id % 97 === 0 ? [] : [1],
      description: id === 1 ? 'The main build of every push; what it says decides about merging.' : null,
      description_format: null,
      description_html: null,
      projectid: null,
      tags: [system, kind],
    })
  }
  for (let id = 1; id <= 24; id++) {
    const away = id === 9 || id === 17
    db.workers.push({
      workerid: id,
      name: `${pick(['oak', 'elm', 'ash', 'fir', 'yew'])}-${String(id).padStart(2, '0')}`,
      connected_to: away ? [] : [{ masterid: 1 }],
      configured_on: db.builders
        .filter((b) => b.builderid % 24 === id % 24 || b.builderid < 4)
        .map((b) => ({ masterid: 1, builderid: b.builderid })),
      workerinfo:
        id === 17
          ? {}
          : {
              admin: `${pick(PEOPLE)}\n`,
              host: `${pick(['AMD EPYC 9354, 64 threads', 'Ampere Altra, 80 cores', 'Milk-V Pioneer, 64 cores, RISC-V'])}\n`,
              version: '0.1.0',
              access_uri: null,
              slots: 2 + (id % 3),
            },
      paused: id === 5,
      pause_reason: id === 5 ? 'new disk on Thursday' : null,
      graceful: id === 12,
    })
  }
  for (let i = 0; i < 140; i++) addChange(start + i * 5400)
  const connected = db.workers.filter((w) => w.connected_to.length > 0)
  const count = Math.min(6000, total * 8)
  for (let i = 0; i < count; i++) {
    const at = start + Math.floor((i / count) * 86400 * 8.9)
    const builderid = i % 9 === 0 ? 1 + (i % 3) : 1 + Math.floor(random() * total)
    if (builderid % 50 === 7) continue // some have never built
    const took = 20 + Math.floor(random() * 400)
    const build = addBuild(
      addRequest(builderid, 'the branch main has changed', at),
      pick(connected).workerid,
      at,
    )
    const luck = random()
    const bad = builderid % 13 === 0 ? 0.35 : 0.06
    const results =
      luck < bad
        ? 2
        : luck < bad + 0.04
          ? 1
          : luck < bad + 0.05
            ? 4
            : luck < bad + 0.06
              ? 5
              : luck < bad + 0.07
                ? 6
                : luck < bad + 0.08
                  ? 3
                  : 0
    finish(build, results, at + took)
    // Only the newest and the first builders get steps; the page of any other build shows an empty state.
    if (i > count - 400 || builderid < 4) addSteps(build, results, took)
  }
  // The failed build with the million-line log is the newest finished one of builder 1.
  const at = now() - 700
  const big = addBuild(
    addRequest(1, "A build was forced by 'Ada Marsh <ada@example.org>': check the truncated stream", at, {
      owner: PEOPLE[0],
      note: 'check the truncated stream',
    }),
    1,
    at,
  )
  finish(big, 2, at + 412, "failed 'make check' (failure)")
  addSteps(big, 2, 412, false)
  const ok = addBuild(addRequest(2, 'the branch main has changed', now() - 340), 2, now() - 340)
  finish(ok, 1, now() - 40)
  addSteps(ok, 1, 300)

  db.schedulers = ['on-push', 'nightly', 'release-branch', 'force', 'try'].map((name, i) => ({
    schedulerid: i + 1,
    name,
    enabled: name !== 'release-branch',
    master: db.masters[0],
  }))
  db.forceschedulers = [
    {
      ...FORCE,
      builder_names: db.builders.map((b) => b.name),
      name: 'force',
      label: 'Force',
      button_name: 'force',
    },
    {
      ...FORCE,
      all_fields: FORCE.all_fields.slice(0, 1),
      builder_names: ['zlib-linux-release'],
      name: 'release',
      label: 'Release',
      button_name: 'Make a release',
    },
  ]
  for (let i = 0; i < 37; i++)
    addRequest(1 + Math.floor(random() * total), 'the branch main has changed', now() - 1200 + i * 30, {
      priority: i % 11 === 0 ? 5 : 0,
    })
}

// ------------------------------------------------------------------------------------------ events

const consumers = new Set()
const matches = (pattern, key) => {
  const p = pattern.split('/')
  const k = key.split('/')
  return p.length === k.length && p.every((each, i) => each === '*' || each === k[i])
}
function publish(topics, name, item) {
  for (const topic of topics) {
    const key = `${topic}/${name}`
    const text = JSON.stringify({ k: key, m: item })
    for (const { socket, paths } of consumers)
      if ([...paths].some((path) => matches(path, key))) socket.send(text)
  }
}
const plainBuild = ({ all, buildset, change, ...build }, wanted = []) => ({
  ...build,
  properties: wanted.includes('*')
    ? all
    : Object.fromEntries(wanted.filter((name) => all[name]).map((name) => [name, all[name]])),
})
const plainLog = ({ text, ...log }) => log
const tell = {
  build: (b, name) =>
    publish(
      [
        `builds/${b.buildid}`,
        `builders/${b.builderid}/builds/${b.number}`,
        `workers/${b.workerid}/builds/${b.buildid}`,
      ],
      name,
      plainBuild(b),
    ),
  step: (s, name) => publish([`builds/${s.buildid}/steps/${s.stepid}`, `steps/${s.stepid}`], name, s),
  log: (l, name) => publish([`logs/${l.logid}`, `steps/${l.stepid}/logs/${l.slug}`], name, plainLog(l)),
  request: (r, name) =>
    publish(
      [`buildrequests/${r.buildrequestid}`, `builders/${r.builderid}/buildrequests/${r.buildrequestid}`],
      name,
      { ...r, properties: null },
    ),
  worker: (w) => publish([`workers/${w.workerid}`], 'state_updated', w),
}

// ------------------------------------------------------------------------------------------ life

const live = new Map()
function begin(queued, workerid) {
  const build = addBuild(queued, workerid, now())
  tell.request(queued.request, 'claimed')
  tell.build(build, 'new')
  const preparation = addStep(build, 'worker_preparation', 'worker ready', now(), 0, 0)
  tell.step(preparation, 'new')
  const git = addStep(build, 'git', 'checking out', now(), 0, 0)
  addLog(git, 'stdio', 14, (i) => `eremote: Counting objects ${i}`)
  tell.step(git, 'new')
  const step = addStep(build, 'check', "'make check' running", now(), 0, null)
  tell.step(step, 'new')
  tell.step(step, 'started')
  const log = addLog(step, 'stdio', 0, compileLine, false)
  tell.log(log, 'new')
  live.set(build.buildid, {
    build,
    step,
    log,
    until: options.steady ? Number.POSITIVE_INFINITY : Date.now() + 45_000 + random() * 90_000,
    rate: build.builderid === 3 ? 4000 : 8,
  })
  return build
}
function end(one, results, state) {
  const { build, step, log } = one
  live.delete(build.buildid)
  log.complete = true
  tell.log(log, 'finished')
  Object.assign(step, { complete: true, complete_at: now(), results, state_string: state ?? "'make check'" })
  tell.step(step, 'finished')
  finish(build, results, now(), state)
  tell.build(build, 'finished')
  tell.request(db.buildrequests[build.buildrequestid - 1], 'complete')
}
if (!options.empty) {
  for (const id of [1, 2, 3, 12, 40, 77])
    begin(addRequest(id, 'the branch main has changed', now() - 3), 1 + (id % 8))
  setInterval(() => {
    for (const one of live.values()) {
      const { log } = one
      log.num_lines += Math.ceil(one.rate * (0.5 + random()) * 0.25)
      tell.log(log, 'append')
      if (Date.now() > one.until)
        // The newest failure of builder 1 stays the one with the million lines.
        end(one, random() < 0.2 && one.build.builderid !== 1 ? 2 : 0)
    }
    // Builders 1 to 3 are always at work, so that there is something to watch.
    for (const id of [1, 2, 3])
      if (![...live.values()].some(({ build }) => build.builderid === id))
        begin(addRequest(id, 'the branch main has changed', now()), 1 + (id % 8))
    for (const queued of db.buildrequests) {
      if (queued.forced && !queued.claimed && !queued.complete && now() > queued.submitted_at + 2)
        begin({ request: queued, buildset: db.buildsets[queued.buildsetid - 1], change: undefined }, 1)
    }
  }, 250).unref()
}

const pipelines = options.empty ? {} : addPipelines(db, { now, publish })

// ------------------------------------------------------------------------------------------ REST

const fail = (status, error) => Object.assign(new Error(error), { status })
const KEY = {
  builders: 'builderid',
  workers: 'workerid',
  builds: 'buildid',
  buildrequests: 'buildrequestid',
  buildsets: 'bsid',
  changes: 'changeid',
  steps: 'stepid',
  logs: 'logid',
  schedulers: 'schedulerid',
  masters: 'masterid',
  pipelines: 'pipelineid',
  runs: 'runid',
  jobs: 'jobid',
}

/** Resolves a path to rows; one row for single items. */
function resolve(elements) {
  const [first, second, ...rest] = elements
  const table = db[first]
  if (table === undefined) throw fail(404, `Invalid path: ${elements.join('/')}`)
  if (second === undefined) return { plural: first, rows: table }
  const row = /^\d+$/.test(second)
    ? table.find((each) => each[KEY[first]] === Number(second))
    : table.find((each) => each.name === second)
  if (row === undefined)
    throw fail(404, `not found while getting from endpoint for /${first}/n with ${second}`)
  return follow(first, row, rest)
}
const one = (plural, row) => ({ plural, rows: [row], single: true })
function follow(type, row, rest) {
  if (rest.length === 0) return one(type, row)
  const [next, id, ...more] = rest
  const into = (plural, rows, match) => {
    if (id === undefined) return { plural, rows }
    const found = rows.find(match)
    if (found === undefined) throw fail(404, `not found: ${rest.join('/')}`)
    return follow(plural, found, more)
  }
  const byId = (plural) => (each) => each[KEY[plural]] === Number(id)
  switch (`${type}/${next}`) {
    case 'builders/builds':
      return into(
        'builds',
        db.builds.filter((b) => b.builderid === row.builderid),
        (b) => b.number === Number(id),
      )
    case 'builders/buildrequests':
      return { plural: 'buildrequests', rows: db.buildrequests.filter((r) => r.builderid === row.builderid) }
    case 'buildrequests/waiting':
      return {
        plural: 'waiting',
        rows: row.claimed
          ? []
          : [{ buildrequestid: row.buildrequestid, why: 'none of its workers has room' }],
      }
    case 'pipelines/runs':
      return { plural: 'runs', rows: db.runs.filter((r) => r.pipelineid === row.pipelineid) }
    case 'pipelines/definition': {
      // As its last run has them.
      const run = db.runs.findLast((r) => r.pipelineid === row.pipelineid)
      const jobs = db.jobs.filter((j) => j.runid === run?.runid)
      return { plural: 'definition', rows: jobs.map(plannedJob) }
    }
    case 'changes/runs':
      return { plural: 'runs', rows: db.runs.filter((r) => r.changes.includes(row.changeid)) }
    case 'runs/jobs':
      return { plural: 'jobs', rows: db.jobs.filter((j) => j.runid === row.runid) }
    case 'jobs/builds':
      return { plural: 'builds', rows: db.builds.filter((b) => b.buildid === row.buildid) }
    case 'jobs/waiting':
      return {
        plural: 'waiting',
        rows: row.state === 'queued' ? [{ jobid: row.jobid, why: 'none of its workers has room' }] : [],
      }
    case 'builders/forceschedulers':
      return {
        plural: 'forceschedulers',
        rows: db.forceschedulers.filter((f) => f.builder_names.includes(row.name)),
      }
    case 'workers/builds':
      return { plural: 'builds', rows: db.builds.filter((b) => b.workerid === row.workerid) }
    case 'buildrequests/builds':
      return { plural: 'builds', rows: db.builds.filter((b) => b.buildrequestid === row.buildrequestid) }
    case 'changes/builds':
      return { plural: 'builds', rows: db.builds.filter((b) => b.change?.changeid === row.changeid) }
    case 'builds/steps':
      return into(
        'steps',
        db.steps.filter((s) => s.buildid === row.buildid),
        (s) => s.number === Number(id) || s.name === id,
      )
    case 'builds/properties':
      return one('properties', row.all)
    case 'builds/changes':
      return { plural: 'changes', rows: row.change ? [row.change] : [] }
    case 'steps/logs':
      return into(
        'logs',
        db.logs.filter((l) => l.stepid === row.stepid),
        (l) => l.slug === id || byId('logs')(l),
      )
    case 'logs/contents':
    case 'logs/raw':
    case 'logs/raw_inline':
      return { plural: 'logchunks', log: row, how: next, rows: [], single: true }
    default:
      throw fail(404, `Invalid path: ${type}/…/${rest.join('/')}`)
  }
}

function select(rows, params) {
  const reserved = new Set(['limit', 'offset', 'order', 'field', 'property'])
  let result = rows
  for (const name of new Set(params.keys())) {
    if (reserved.has(name)) continue
    const [field, op = 'eq'] = name.split('__')
    const wanted = params.getAll(name)
    if (rows.length > 0 && !(field in rows[0])) throw fail(400, `unrecognized query parameter '${name}'`)
    const parse = (text, like) =>
      typeof like === 'boolean'
        ? /^(on|true|yes|1)$/i.test(text)
        : typeof like === 'number'
          ? Number(text)
          : text
    result = result.filter((row) => {
      const value = row[field]
      const all = wanted.map((text) => parse(text, value))
      if (op === 'eq') return all.includes(value)
      if (op === 'ne') return !all.includes(value)
      if (op === 'lt') return value < all[0]
      if (op === 'gt') return value > all[0]
      return true
    })
  }
  const orders = params.getAll('order')
  if (orders.length > 0)
    result = result.toSorted((a, b) => {
      for (const order of orders) {
        const field = order.replace(/^-/, '')
        const way = order.startsWith('-') ? -1 : 1
        if (a[field] < b[field]) return -way
        if (a[field] > b[field]) return way
      }
      return 0
    })
  const total = result.length
  const offset = Number(params.get('offset') ?? 0)
  const limit = params.has('limit') ? Number(params.get('limit')) : total
  return { rows: result.slice(offset, offset + limit), total }
}

function read(pathname, params) {
  const found = resolve(pathname.split('/').map(decodeURIComponent))
  if (found.log !== undefined) {
    const { log, how } = found
    const first = Number(params.get('offset') ?? 0)
    const count = Math.min(
      how === 'contents' && params.has('limit') ? Number(params.get('limit')) : log.num_lines,
      log.num_lines - first,
    )
    let content = ''
    for (let i = first; i < first + count; i++) content += `${log.text(i)}\n`
    if (how !== 'contents')
      return {
        raw: log.type === 's' ? content.replaceAll(/^./gm, '') : content,
        inline: how === 'raw_inline',
        name: log.slug,
      }
    return { body: { logchunks: [{ logid: log.logid, firstline: first, content }], meta: {} } }
  }
  const wanted = params.getAll('property')
  const fields = params.getAll('field')
  const { rows, total } = found.single ? { rows: found.rows, total: 1 } : select(found.rows, params)
  const items = rows
    .map((row) =>
      found.plural === 'builds' ? plainBuild(row, wanted) : found.plural === 'logs' ? plainLog(row) : row,
    )
    .map((row) => (fields.length > 0 ? Object.fromEntries(fields.map((field) => [field, row[field]])) : row))
  return { body: { [found.plural]: items, meta: found.single ? {} : { total } } }
}

function control(pathname, { method, params }) {
  const elements = pathname.split('/').map(decodeURIComponent)
  const { rows } = resolve(elements)
  const row = rows[0]
  const type = elements[0]
  const invalid = (fields) => Object.assign(fail(400, 'invalid'), { fields })
  switch (`${type}.${method}`) {
    case 'forceschedulers.force': {
      const problems = {}
      if (params.username && !/^.+<.+@.+>$/.test(params.username))
        problems.username = "please fill in email address in the form 'User <email@email.com>'"
      if (params.iprop !== undefined && !/^\d+$/.test(String(params.iprop)))
        problems.iprop = `invalid literal for int() with base 10: '${params.iprop}'`
      if (params.branch === 'nope')
        problems.branch = "Branch:'nope' does not match pattern '^(main|stable-.*)$'"
      if (Object.keys(problems).length > 0) throw invalid(problems)
      const owner = 'admin'
      const queued = addRequest(
        params.builderid,
        `A build was forced by '${owner}': ${params.reason}`,
        now(),
        { owner, note: params.reason, priority: Number(params.priority ?? 0) },
      )
      queued.request.forced = true
      tell.request(queued.request, 'new')
      return [queued.buildset.bsid, { [params.builderid]: queued.request.buildrequestid }]
    }
    case 'builds.stop': {
      const running = live.get(row.buildid)
      if (running) end(running, 6, `cancelled (${params.reason})`)
      return null
    }
    case 'builds.rebuild': {
      const queued = addRequest(row.builderid, 'rebuild', now(), { change: row.change })
      queued.request.forced = true
      tell.request(queued.request, 'new')
      return [queued.buildset.bsid, { [row.builderid]: queued.request.buildrequestid }]
    }
    case 'buildrequests.cancel':
      if (!row.complete) {
        Object.assign(row, { complete: true, complete_at: now(), results: 6 })
        tell.request(row, 'cancel')
        tell.request(row, 'complete')
      }
      return null
    case 'workers.pause':
    case 'workers.unpause':
      Object.assign(row, {
        paused: method === 'pause',
        pause_reason: method === 'pause' ? params.reason || null : null,
      })
      tell.worker(row)
      return null
    case 'schedulers.enable':
      row.enabled = params.enabled
      publish([`schedulers/${row.schedulerid}`], 'updated', row)
      return null
    default:
      if (pipelines[`${type}.${method}`]) return pipelines[`${type}.${method}`](row, params)
      throw Object.assign(fail(501, `action: ${method} is not supported`), { code: -32601 })
  }
}

// ------------------------------------------------------------------------------------------ HTTP

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
}
const loggedIn = (request) => /(^|;\s*)ironmaster_session=demo/.test(request.headers.cookie ?? '')
const user = (request) => (loggedIn(request) ? { username: 'admin' } : { anonymous: true })

async function bodyOf(request) {
  let text = ''
  for await (const piece of request) text += piece
  return JSON.parse(text)
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost')
  const json = (status, body, headers = {}) => {
    response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', ...headers })
    response.end(JSON.stringify(body))
  }
  try {
    if (prefix !== '' && url.pathname === prefix) {
      response.writeHead(302, { Location: `${prefix}/` })
      response.end()
      return
    }
    if (!url.pathname.startsWith(`${prefix}/`)) return json(404, { error: 'outside the prefix' })
    const path = url.pathname.slice(prefix.length + 1)
    if (path === 'config')
      return json(200, {
        title: 'Ironmaster',
        titleURL: '',
        buildbotURL: '',
        versions: [
          ['Ironmaster', '0.1.0'],
          ['Mock server', process.version],
        ],
        user: user(request),
        auth: { name: 'Token' },
        plugins: {},
        avatar_methods: [],
      })
    if (path === 'auth/user') return json(200, { user: user(request) })
    if (path === 'auth/token' && request.method === 'POST') {
      const { token } = await bodyOf(request)
      if (token !== TOKEN) return json(403, { error: 'unknown token' })
      return json(
        200,
        { user: { username: 'admin' } },
        { 'Set-Cookie': `ironmaster_session=demo; HttpOnly; SameSite=Lax; Path=${prefix}/` },
      )
    }
    if (path === 'auth/logout')
      return json(200, {}, { 'Set-Cookie': `ironmaster_session=; Max-Age=0; Path=${prefix}/` })
    if (path.startsWith('api/v2/')) {
      const resource = path.slice('api/v2/'.length)
      if (request.method === 'POST') {
        const call = await bodyOf(request)
        try {
          if (!loggedIn(request)) throw fail(403, "you need to have role 'admin'")
          return json(200, { jsonrpc: '2.0', id: call.id, result: control(resource, call) })
        } catch (error) {
          const code = error.fields ? -32602 : (error.code ?? -32600)
          return json(error.status ?? 500, {
            jsonrpc: '2.0',
            id: call.id,
            error: { code, message: error.fields ?? error.message },
          })
        }
      }
      const answer = read(resource, url.searchParams)
      if (answer.raw !== undefined) {
        response.writeHead(200, {
          'Content-Type': 'text/plain; charset=utf-8',
          ...(!answer.inline && { 'Content-Disposition': `attachment; filename=${answer.name}.txt` }),
        })
        return response.end(answer.raw)
      }
      return json(200, answer.body)
    }
    const file = path === '' ? 'index.html' : normalize(path)
    if (file.startsWith('..')) return json(404, { error: 'no' })
    const content = await readFile(join(options.dist, file)).catch(() => undefined)
    if (content === undefined) return json(404, { error: `no file ${file}; has the UI been built?` })
    response.writeHead(200, {
      'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
      // As strict as the master, so that a breach shows here.
      ...(file === 'index.html' && {
        'Content-Security-Policy':
          "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; connect-src 'self' ws: wss:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'; object-src 'none'",
      }),
    })
    response.end(content)
  } catch (error) {
    json(error.status ?? 500, { error: error.message })
  }
})

const sockets = new WebSocketServer({ noServer: true })
server.on('upgrade', (request, socket, head) => {
  if (new URL(request.url, 'http://localhost').pathname !== `${prefix}/ws`) return socket.destroy()
  sockets.handleUpgrade(request, socket, head, (client) => {
    const consumer = { socket: client, paths: new Set() }
    consumers.add(consumer)
    client.on('close', () => consumers.delete(consumer))
    client.on('message', (data) => {
      const { cmd, path, _id } = JSON.parse(String(data))
      if (cmd === 'ping') return client.send(JSON.stringify({ msg: 'pong', code: 200, _id }))
      if (cmd === 'startConsuming') consumer.paths.add(path)
      else if (cmd === 'stopConsuming') consumer.paths.delete(path)
      else return client.send(JSON.stringify({ error: `no such command type '${cmd}'`, code: 404, _id }))
      client.send(JSON.stringify({ msg: 'OK', code: 200, _id }))
    })
  })
})

server.listen(Number(options.port), '127.0.0.1', () => {
  const root = `http://127.0.0.1:${server.address().port}${prefix}/`
  console.log(`mock master at ${root}\nlog in with  ${root}#/login?token=${TOKEN}`)
})
