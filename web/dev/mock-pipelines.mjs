// Pipelines of the mock server: one with a run in every state that a page has to show, and little that moves.

const JOB = {
  matrix: {},
  needs: [],
  state: 'waiting',
  complete: false,
  results: null,
  cause: null,
  why: null,
  attempts: 0,
  buildsetid: null,
  buildrequestid: null,
  buildid: null,
  child_runid: null,
  approved_by: null,
  queued_at: null,
  started_at: null,
  complete_at: null,
  outputs: {},
  definition: {},
}

/** What the configuration says of a job that a run has. */
export const plannedJob = ({ number, name, group, matrix, needs, definition }) => ({
  number,
  name,
  group,
  matrix,
  needs,
  definition: { work: { type: 'build', builder: 'kernel-arm64' }, ...definition },
})

/** Adds them to the data; gives what their controls do. `publish(topics, event, item)` tells of a change. */
export function addPipelines(db, { now, publish }) {
  db.pipelines = [
    ['release train', 'Compiles, tests everywhere, and publishes once somebody has approved.', true],
    ['nightly', null, true],
    ['of old', null, false],
  ].map(([name, description, active], i) => ({ pipelineid: i + 1, name, project: '', description, active }))
  db.runs = []
  db.jobs = []

  const addRun = (pipelineid, more) => {
    const change = db.changes.at(-1)
    const run = {
      runid: db.runs.length + 1,
      pipelineid,
      pipeline: db.pipelines[pipelineid - 1].name,
      state: 'running',
      complete: false,
      results: null,
      why: null,
      reason: 'the branch main has changed',
      scheduler: 'on-push',
      priority: 0,
      created_at: now() - 400,
      started_at: now() - 399,
      complete_at: null,
      stopped_by: null,
      parent_jobid: null,
      retried_runid: null,
      changes: change ? [change.changeid] : [],
      properties: {},
      sourcestamps: change ? [change.sourcestamp] : [],
      ...more,
    }
    db.runs.push(run)
    return run
  }
  const addJob = (run, number, name, more = {}) => {
    const job = { ...JOB, jobid: db.jobs.length + 1, runid: run.runid, number, name, group: name, ...more }
    db.jobs.push(job)
    return job
  }
  const over = (results, took, more = {}) => ({
    state: 'complete',
    complete: true,
    results,
    attempts: 1,
    buildid: db.builds.at(-1)?.buildid ?? null,
    started_at: now() - 390,
    complete_at: now() - 390 + took,
    ...more,
  })
  const ended = (results, age) => ({
    state: 'complete',
    complete: true,
    results,
    created_at: now() - age,
    started_at: now() - age,
    complete_at: now() - age + 312,
  })

  for (let i = 0; i < 12; i++) {
    const run = addRun(1, ended(i % 5 === 3 ? 2 : i % 7 === 5 ? 6 : 0, 90_000 - i * 7000))
    addJob(run, 0, 'compile', over(run.results, 300))
  }
  const large = addRun(2, ended(0, 4000))
  for (let i = 0; i < 750; i++) addJob(large, i, `case ${i}`, over(0, 1))

  const run = addRun(1, {})
  addJob(run, 0, 'compile', over(0, 84))
  addJob(run, 1, 'documentation', over(1, 31))
  const systems = [
    ['linux', over(0, 102)],
    ['macos', over(2, 65, { cause: { kind: 'exit_code', code: 101 } })],
    [
      'windows',
      { state: 'running', attempts: 1, buildid: db.builds.at(-1)?.buildid, started_at: now() - 130 },
    ],
    ['illumos', { state: 'queued', attempts: 1, buildrequestid: 1, queued_at: now() - 60 }],
  ]
  systems.forEach(([os, more], i) => {
    addJob(run, 2 + i, `test (${os})`, { group: 'test', matrix: { os }, needs: [0], ...more })
  })
  addJob(run, 6, 'benchmark', {
    needs: [0],
    state: 'skipped',
    complete: true,
    results: 3,
    why: 'branch is not one of "stable-*"',
    complete_at: now() - 300,
  })
  addJob(run, 7, 'sign', {
    needs: [0, 1],
    state: 'awaiting_approval',
    queued_at: now() - 280,
    definition: { approval: { users: [] } },
  })
  addJob(run, 8, 'publish', { needs: [2, 3, 4, 5, 7] })
  addJob(run, 9, 'announce', { needs: [8, 6] })

  const told = {
    run: (one, event) =>
      publish([`runs/${one.runid}`, `pipelines/${one.pipelineid}/runs/${one.runid}`], event, one),
    job: (one) => publish([`jobs/${one.jobid}`, `runs/${one.runid}/jobs/${one.jobid}`], 'update', one),
  }
  const decide = (job, more) => {
    Object.assign(job, { complete: true, complete_at: now(), approved_by: 'admin', ...more })
    told.job(job)
    return null
  }
  return {
    'pipelines.start': (pipeline, { reason }) => {
      const made = addRun(pipeline.pipelineid, { reason: `started by 'admin': ${reason}`, scheduler: '' })
      made.created_at = now()
      made.started_at = now()
      addJob(made, 0, 'compile', { state: 'queued', buildrequestid: 1 })
      told.run(made, 'new')
      return { runid: made.runid }
    },
    'runs.stop': (one, { reason }) => {
      const why = `stopped by admin: ${reason}`
      Object.assign(one, { state: 'complete', complete: true, results: 6, complete_at: now(), why })
      told.run(one, 'complete')
      return null
    },
    'runs.retry': (one) => {
      const made = addRun(one.pipelineid, { retried_runid: one.runid })
      addJob(made, 0, 'compile', { state: 'queued', buildrequestid: 1 })
      told.run(made, 'new')
      return { runid: made.runid }
    },
    'jobs.approve': (job) => decide(job, { state: 'complete', results: 0 }),
    'jobs.reject': (job, { reason }) =>
      decide(job, { state: 'skipped', results: 6, why: `rejected by admin: ${reason}` }),
  }
}
