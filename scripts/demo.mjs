// Runs the demo: a master and one worker as processes of their own, configured by examples/demo.toml.
//
// `node scripts/demo.mjs FOLDER_OF_THE_PROGRAMS`, with these variables:
//   DEMO_PORT   the port to begin looking for a free one at (8010)
//   DEMO_STATE  where everything is kept (demo-state)
//   DEMO_DATABASE  a PostgreSQL database to keep the history in: postgres://USER:PASSWORD@HOST/NAME (a file of SQLite)
//   DEMO_ONCE   if set: build both builders once, print the results, stop; the exit code says whether they are as expected
//
// Everything about the master is done through its public API.

import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

const checkout = path.resolve(import.meta.dirname, '..')
const programs = path.resolve(process.argv[2] ?? 'target/demo')
const state = path.resolve(checkout, process.env.DEMO_STATE || 'demo-state')
const once = !['', '0', undefined].includes(process.env.DEMO_ONCE)
const config = path.join(state, 'ironmaster.toml')
const tokenFile = path.join(state, 'worker.token')
const pidFile = path.join(state, 'demo.pid')

/** What each builder is expected to come to, for DEMO_ONCE. */
const expected = { self: 'SUCCESS', red: 'FAILURE' }
const resultNames = ['SUCCESS', 'WARNINGS', 'FAILURE', 'SKIPPED', 'EXCEPTION', 'RETRY', 'CANCELLED']

/** How long the first builds may take with DEMO_ONCE, in milliseconds. */
const onceTimeout = 20 * 60 * 1000
/** A program that ends so often within the time below is not started again. */
const endsMax = 5
const endsWithin = 30 * 1000

class Problem extends Error {
  constructor(message, hint) {
    super(message)
    this.hint = hint
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Processes

/** Keeps one program running: started again when it dies, until `stop`. */
class Keeper {
  constructor(name, program, args) {
    this.name = name
    this.program = program
    this.args = args
    this.log = path.join(state, `${name}.log`)
    this.ends = []
    this.stopping = false
  }

  start() {
    const log = fs.openSync(this.log, 'a')
    // A process group of its own: Ctrl-C reaches this script alone, which then stops things in good order.
    this.child = spawn(this.program, this.args, { cwd: state, stdio: ['ignore', log, log], detached: true })
    fs.closeSync(log)
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(error.message))
      this.child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    })
    this.ended.then((how) => this.onEnd(how))
  }

  onEnd(how) {
    fs.rmSync(this.pidFile, { force: true })
    if (this.stopping) return
    const now = Date.now()
    this.ends = [...this.ends.filter((end) => now - end < endsWithin), now]
    // A program that ends by itself has a reason, which a second start would only repeat.
    if (!how.startsWith('SIG') || this.ends.length >= endsMax) {
      this.stopping = true
      fail(new Problem(`the ${this.name} ended: ${how}\n${this.tail()}`, `its log is ${shown(this.log)}`))
      return
    }
    this.start()
    this.notePid()
    say(`the ${this.name} died of ${how}; it was started again as process ${this.child.pid}`)
  }

  get pidFile() {
    return path.join(state, `${this.name}.pid`)
  }

  notePid() {
    fs.writeFileSync(this.pidFile, `${this.child.pid}\n`)
  }

  /** The last lines of its log. */
  tail() {
    const lines = fs.readFileSync(this.log, 'utf8').trimEnd().split('\n')
    return lines.slice(-15).join('\n')
  }

  async stop() {
    this.stopping = true
    if (!this.child) return
    this.child.kill('SIGTERM')
    const patience = new AbortController()
    const kill = sleep(15_000, null, { signal: patience.signal }).then(
      () => this.child.kill('SIGKILL'),
      () => {},
    )
    await this.ended
    patience.abort()
    await kill
  }
}

/** Stops what an earlier demo left behind because it was killed itself. */
async function stopLeftovers() {
  const demo = readPid(pidFile)
  if (demo && isNode(demo)) {
    throw new Problem(
      `a demo is running already (process ${demo})`,
      `stop it with Ctrl-C where it was started, or: kill ${demo}`,
    )
  }
  for (const [name, program] of [['worker', workerProgram], ['master', masterProgram]]) {
    const pid = readPid(path.join(state, `${name}.pid`))
    if (!pid || !runs(pid, program)) continue
    say(`stopping the ${name} that an earlier demo left behind (process ${pid})`)
    process.kill(pid, 'SIGTERM')
    for (let tries = 0; runs(pid, program); tries++) {
      if (tries === 150) process.kill(pid, 'SIGKILL')
      await sleep(100)
    }
  }
}

function readPid(file) {
  try {
    return Number.parseInt(fs.readFileSync(file, 'utf8'), 10)
  } catch {
    return undefined
  }
}

/** Whether that process still is that program: numbers of processes are used again. */
function runs(pid, program) {
  try {
    return fs.readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '') === fs.realpathSync(program)
  } catch {
    return false
  }
}

function isNode(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('demo.mjs')
  } catch {
    return false
  }
}

// ---------------------------------------------------------------------------------------------------------------
// What is on disk

function git(...args) {
  const done = spawnSync('git', ['-C', checkout, ...args], { encoding: 'utf8' })
  return done.status === 0 ? done.stdout.trim() : undefined
}

/** Settings for the database that the variable names; the password goes to a file of its own. */
function database() {
  if (!process.env.DEMO_DATABASE) return ''
  const address = URL.parse(process.env.DEMO_DATABASE)
  if (!address) throw new Problem('DEMO_DATABASE is no address', 'postgres://USER:PASSWORD@HOST/NAME')
  fs.writeFileSync(path.join(state, 'database.password'), `${decodeURIComponent(address.password)}\n`, { mode: 0o600 })
  const password = address.password ? 'database_password_file = "database.password"\n' : ''
  address.password = ''
  return `database = ${JSON.stringify(address.href)}\n${password}`
}

/** The example with this machine's values in it. */
function writeConfig(port) {
  // A checkout of a bare commit has no branch; then only the buttons start builds.
  const branch = git('symbolic-ref', '--quiet', '--short', 'HEAD') ?? 'main'
  const values = [
    ['"127.0.0.1:8010"', JSON.stringify(`127.0.0.1:${port}`)],
    ['"file:///srv/ironmaster"', JSON.stringify(pathToFileURL(checkout).href)],
    ['["main"]', JSON.stringify([branch])],
    ['branch = "main"', `branch = ${JSON.stringify(branch)}`],
  ]
  let text = fs.readFileSync(path.join(checkout, 'examples/demo.toml'), 'utf8')
  for (const [example, value] of values) {
    if (!text.includes(example)) {
      throw new Problem(`examples/demo.toml does not hold ${example} any more`, 'scripts/demo.mjs fills it in')
    }
    text = text.replaceAll(example, value)
  }
  const master = '[master]\n'
  text = text.replace(master, () => master + database())
  fs.writeFileSync(config, text)
}

function makeToken() {
  if (fs.existsSync(tokenFile)) return
  fs.writeFileSync(tokenFile, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function freePort() {
  const wanted = Number(process.env.DEMO_PORT || 8010)
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 65535) {
    throw new Problem(`DEMO_PORT=${process.env.DEMO_PORT} is no port`, 'a port is a number from 1 to 65535')
  }
  for (let port = wanted; port <= Math.min(wanted + 100, 65535); port++) {
    if (await isFree(port)) {
      if (port !== wanted) say(`port ${wanted} is taken; the demo uses ${port} instead`)
      return port
    }
  }
  throw new Problem(`port ${wanted} and the next hundred are taken`, 'choose another one: make demo DEMO_PORT=9000')
}

// ---------------------------------------------------------------------------------------------------------------
// The API

class Api {
  constructor(base) {
    this.base = base
  }

  /** Asks until there is an answer: the master may be about to start. */
  async request(target, options = {}) {
    for (let tries = 0; ; tries++) {
      try {
        const response = await fetch(new URL(target, this.base), {
          ...options,
          signal: AbortSignal.timeout(10_000),
        })
        return { status: response.status, body: await response.json() }
      } catch (error) {
        if (tries === 150 || stopping) {
          throw new Problem(`the master at ${this.base} does not answer: ${error.cause?.message ?? error.message}`)
        }
        await sleep(200)
      }
    }
  }

  async get(target) {
    const { status, body } = await this.request(`api/v2/${target}`)
    if (status !== 200) throw new Problem(`GET ${target}: ${status} ${JSON.stringify(body)}`)
    return body
  }

  /** Presses the button of a force scheduler; gives the id of the buildset. */
  async force(scheduler, reason) {
    const token = fs.readFileSync(path.join(state, 'state/admin.token'), 'utf8').trim()
    const { body } = await this.request(`api/v2/forceschedulers/${scheduler}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'force', params: { reason } }),
    })
    if (body.error) throw new Problem(`forcing ${scheduler}: ${JSON.stringify(body.error)}`)
    return body.result[0]
  }
}

/** Asks for the builders' first builds, or for another one each; gives buildset ids by builder. */
async function triggerBuilds(api) {
  const buildsets = {}
  for (const { name, builderid } of (await api.get('builders')).builders) {
    const { meta } = await api.get(`buildrequests?builderid=${builderid}&limit=1`)
    if (once || meta.total === 0) buildsets[name] = await api.force(`force-${name}`, 'the demo has begun')
  }
  return buildsets
}

/** Waits for these buildsets and prints what became of them; gives whether all is as expected. */
async function results(api, buildsets) {
  const end = Date.now() + onceTimeout
  const rows = []
  for (const [builder, bsid] of Object.entries(buildsets)) {
    let request
    for (;;) {
      request = (await api.get(`buildrequests?buildsetid=${bsid}`)).buildrequests[0]
      if (request?.complete) break
      if (stopping) return false
      if (Date.now() > end) throw new Problem(`the build of "${builder}" has not ended in ${onceTimeout / 60_000} minutes`)
      await sleep(500)
    }
    const { builds } = await api.get(`buildrequests/${request.buildrequestid}/builds`)
    const build = builds.at(-1)
    const result = resultNames[request.results]
    rows.push([builder, build?.number, result, expected[builder] ?? '', `${build ? build.complete_at - build.started_at : '?'} s`])
    for (const step of build ? (await api.get(`builds/${build.buildid}/steps`)).steps : []) {
      rows.push([`  ${step.name}`, '', resultNames[step.results] ?? '', '', step.state_string])
    }
  }
  table(['builder', 'build', 'result', 'expected', 'took'], rows)
  return rows.every(([builder, , result]) => !(builder in expected) || expected[builder] === result)
}

// ---------------------------------------------------------------------------------------------------------------
// What people read

function say(text) {
  process.stdout.write(`${text}\n`)
}

function shown(file) {
  const relative = path.relative(process.cwd(), file)
  return relative.startsWith('..') ? file : relative
}

function table(head, rows) {
  const all = [head, ...rows].map((row) => row.map(String))
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)))
  for (const row of all) say(row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd())
}

function tour(url, login, master) {
  const branch = git('symbolic-ref', '--quiet', '--short', 'HEAD')
  const commit = branch
    ? `git commit --allow-empty -m 'try the demo'     a build of "self" starts within a few seconds`
    : `(this checkout is at no branch: "git switch -c demo" and start the demo again to have commits built)`
  say(`
Ironmaster runs: ${url}
Log in as administrator to press buttons:
  ${login}

What to try next:
  * watch "self" compile this checkout's newest commit; its log is live
  * look at what a red build looks like: "red" fails on purpose
  * ${commit}
  * kill -9 ${master.child.pid}     that is the master, in the middle of a build if you like: the demo starts it again,
    the build goes on where it was, and not a line of its log is missing
  * change ${shown(config)}, then: kill -HUP $(cat ${shown(master.pidFile)})
    the logs of both programs: ${shown(path.join(state, 'master.log'))}, ${shown(path.join(state, 'worker.log'))}

Ctrl-C stops it. The next "make demo" goes on with the same history; "make clean" forgets it.`)
}

// ---------------------------------------------------------------------------------------------------------------

const masterProgram = path.join(programs, 'ironmaster')
const workerProgram = path.join(programs, 'ironmaster-worker')
const keepers = []
let stopping = false

async function stop() {
  stopping = true
  // The master last: it hears of the worker's end, and records it.
  for (const keeper of keepers.toReversed()) await keeper.stop()
  fs.rmSync(pidFile, { force: true })
}

function fail(error) {
  if (stopping) return
  say(`error: ${error instanceof Problem ? error.message : error.stack}`)
  if (error.hint) say(`hint: ${error.hint}`)
  stop().finally(() => process.exit(1))
}

async function main() {
  fs.mkdirSync(state, { recursive: true })
  await stopLeftovers()
  fs.writeFileSync(pidFile, `${process.pid}\n`)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  makeToken()
  writeConfig(port)
  const checked = spawnSync(masterProgram, ['check', config], { encoding: 'utf8' })
  if (checked.status !== 0) throw new Problem(`the configuration is refused:\n${checked.stderr}`)

  const master = new Keeper('master', masterProgram, ['start', config])
  const worker = new Keeper('worker', workerProgram, [
    ...['--master', `ws://127.0.0.1:${port}`, '--name', 'local', '--token-file', tokenFile],
    ...['--basedir', path.join(state, 'worker'), '--host', 'this machine'],
  ])
  keepers.push(master, worker)
  for (const keeper of keepers) {
    keeper.start()
    keeper.notePid()
  }
  const api = new Api(url)
  await api.get('builders')
  const buildsets = await triggerBuilds(api)

  if (once) {
    say(`building both builders once: ${url}`)
    const asExpected = await results(api, buildsets)
    await stop()
    if (!asExpected) say('error: that is not what was expected')
    process.exitCode = asExpected ? 0 : 1
    return
  }
  const login = spawnSync(masterProgram, ['login-link', config], { encoding: 'utf8' }).stdout.trim()
  tour(url, login, master)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (stopping) return
    say('\nstopping')
    stop().then(() => process.exit(0))
  })
}
main().catch(fail)
