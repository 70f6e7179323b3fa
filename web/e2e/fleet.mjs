// A real master and real workers as processes, in a directory of their own, on loopback ports.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../dev/port.mjs'

/** How long anything may take before a test gives up. Only a broken program gets there; PATIENCE_S is for those who mend it. */
export const PATIENCE_MS = 1000 * Number(process.env.PATIENCE_S ?? 300)
const POLL_MS = 20
const WORKER_TOKEN = 'the-token-of-every-worker-in-these-tests'

// Ended from outside, a program runs what it has to do at its end only if it ends itself.
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(1))

const checkout = path.resolve(import.meta.dirname, '../..')
/** Where `cargo build` puts the programs. */
const programs = path.resolve(checkout, process.env.CARGO_TARGET_DIR ?? 'target', 'debug')

/** Asks again and again until `check` gives something; never waits for a time. */
export async function until(what, check) {
  const end = Date.now() + PATIENCE_MS
  for (;;) {
    const got = await check()
    if (got) return got
    if (Date.now() > end) throw new Error(`${what}: not within ${PATIENCE_MS / 1000} s`)
    await pause(POLL_MS)
  }
}

/** A section of a worker for the configuration. */
export const workerSection = (name, lines = 'slots = 2') =>
  `[[worker]]\nname = "${name}"\ntoken = "${WORKER_TOKEN}"\n${lines}\n`

export class Fleet {
  #children = new Map()
  /** Of the programs, beside this program's own. */
  environment = {}

  /** `toml` is the configuration without `[master]`; `settings` are further lines of `[master]`. */
  static async make(toml, settings = '') {
    const fleet = new Fleet()
    // Nothing stays behind, also when a test's program ends in the middle.
    process.on('exit', () => {
      for (const child of fleet.#children.values()) child.kill('SIGKILL')
      fs.rmSync(fleet.dir, { recursive: true, force: true })
    })
    fleet.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ironmaster-ui-'))
    fleet.port = await freePort()
    fleet.root = `http://127.0.0.1:${fleet.port}/`
    fleet.settings = `${settings}\n${fleet.#database()}`
    fleet.configure(toml)
    return fleet
  }

  /** On PostgreSQL, if the tests are told of a server (`scripts/postgres.sh run`); the fleet has a database of its own there. */
  #database() {
    if (!process.env.IRONMASTER_TEST_POSTGRES) return ''
    const address = new URL(process.env.IRONMASTER_TEST_POSTGRES)
    const name = `ui_${path.basename(this.dir).replace(/\W/g, '_').toLowerCase()}_${process.pid}`
    const made = spawnSync('psql', [address.href, '--command', `create database "${name}"`], {
      encoding: 'utf8',
    })
    if (made.status !== 0) throw new Error(`no database: ${made.error ?? made.stderr}`)
    fs.writeFileSync(this.path('database.password'), decodeURIComponent(address.password), { mode: 0o600 })
    address.password = ''
    address.pathname = `/${name}`
    return `database = "${address.href}"\ndatabase_password_file = "database.password"\n`
  }

  configure(toml) {
    fs.writeFileSync(
      this.path('ci.toml'),
      `[master]\nlisten = "127.0.0.1:${this.port}"\nurl = "${this.root}"\nstate_dir = "state"\n${this.settings}\n${toml}`,
    )
  }

  path(name) {
    return path.join(this.dir, name)
  }

  /** What the commands of gated steps wait for; see `gated` in `commands.mjs`. */
  openGate(name) {
    fs.writeFileSync(this.path(`gate-${name}`), '')
  }

  #spawn(name, program, args) {
    const log = fs.openSync(this.path(`${name}.log`), 'a')
    const child = spawn(path.join(programs, program), args, {
      cwd: this.dir,
      env: { ...process.env, GATES: this.dir, ...this.environment },
      stdio: ['ignore', log, log],
    })
    fs.closeSync(log)
    child.ended = once(child, 'exit').catch(() => undefined)
    child.on('error', (error) => {
      console.error(`${program} cannot be started: ${error.message}; build it first ("make test" does)`)
    })
    this.#children.set(name, child)
  }

  async startMaster() {
    this.#spawn('master', 'ironmaster', ['start', 'ci.toml'])
    const child = this.#children.get('master')
    await until(`the master serves at ${this.root}`, async () => {
      if (child.exitCode !== null) throw new Error(`the master has ended:\n${this.log('master')}`)
      return (await fetch(`${this.root}healthz`).catch(() => undefined))?.ok
    })
  }

  async startWorker(name) {
    const token = this.path('worker.token')
    fs.writeFileSync(token, WORKER_TOKEN, { mode: 0o600 })
    this.#spawn(name, 'ironmaster-worker', [
      ...['--master', `ws://127.0.0.1:${this.port}`, '--name', name, '--token-file', token],
      ...['--basedir', this.path(`work-${name}`), '--host', 'a machine in the shed'],
    ])
    await until(`the worker ${name} is connected`, async () => {
      const { workers } = await this.get(`workers?name=${name}`)
      return workers[0]?.connected_to.length > 0
    })
  }

  async kill(name, signal = 'SIGKILL') {
    const child = this.#children.get(name)
    if (child === undefined) return
    this.#children.delete(name)
    child.kill(signal)
    await child.ended
  }

  /** Ends all of it, the master last. */
  async stop() {
    const names = [...this.#children.keys()].filter((name) => name !== 'master')
    for (const name of [...names, 'master']) await this.kill(name, 'SIGTERM')
    fs.rmSync(this.dir, { recursive: true, force: true })
  }

  log(name) {
    return fs.readFileSync(this.path(`${name}.log`), 'utf8')
  }

  // The API

  async get(target) {
    const response = await fetch(`${this.root}api/v2/${target}`, { headers: { accept: 'application/json' } })
    const text = await response.text()
    if (!response.ok) throw new Error(`GET ${target}: ${response.status} ${text}`)
    return JSON.parse(text)
  }

  get adminToken() {
    return fs.readFileSync(this.path('state/admin.token'), 'utf8').trim()
  }

  async call(target, method, params = {}) {
    const response = await fetch(`${this.root}api/v2/${target}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${this.adminToken}` },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    })
    const body = await response.json()
    if (body.error) throw new Error(`${method} of ${target}: ${JSON.stringify(body.error)}`)
    return body.result
  }

  /** Presses a button; gives the id of the buildset. */
  async force(scheduler, params = {}) {
    return (await this.call(`forceschedulers/${scheduler}`, 'force', params))[0]
  }

  async change(fields) {
    const response = await fetch(`${this.root}change_hook/base`, {
      method: 'POST',
      body: new URLSearchParams(fields),
    })
    if (!response.ok) throw new Error(`the change was refused: ${await response.text()}`)
  }

  /** What `ironmaster login-link` prints. */
  loginLink() {
    const done = spawnSync(path.join(programs, 'ironmaster'), ['login-link', 'ci.toml'], {
      cwd: this.dir,
      encoding: 'utf8',
    })
    return done.stdout.trim()
  }

  /** The newest build of a builder, once `check` holds for it. */
  async build(builder, check = () => true, what = 'is as expected') {
    return until(`a build of ${builder} ${what}`, async () => {
      const { builds } = await this.get(`builders/${builder}/builds?order=-number&limit=1`)
      return builds[0] && check(builds[0]) ? builds[0] : undefined
    })
  }

  async finished(builder, number = 1) {
    return this.build(builder, (build) => build.number >= number && build.complete, `#${number} has ended`)
  }

  /** Everything that was asked for has been built. */
  async idle() {
    await until('everything is built', async () => {
      const { meta } = await this.get('buildrequests?complete=false&limit=1')
      return meta.total === 0
    })
  }
}
