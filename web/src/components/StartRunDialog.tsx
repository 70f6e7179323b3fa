import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { path } from '../api/base'
import { call } from '../api/client'
import { ApiError, describeError } from '../api/errors'
import type { Pipeline } from '../api/types'
import { useControl } from '../auth/session'
import { Button } from './Button'
import { Dialog, DialogActions } from './Dialog'
import { Field } from './Field'
import css from './ForceDialog.module.css'

/** What `start` and `retry` answer. */
export interface NewRun {
  readonly runid: number
}

/** After starting a run, its page shows what becomes of it. */
export function useFollowRun() {
  const navigate = useNavigate()
  return ({ runid }: NewRun) => void navigate({ to: '/runs/$run', params: { run: String(runid) } })
}

const FIELDS = [
  ['branch', 'Branch', "blank for the repository's default"],
  ['revision', 'Revision', 'blank for the newest'],
  ['reason', 'Reason', 'others will see it'],
] as const
type Values = Record<(typeof FIELDS)[number][0], string>

/** Asks what a run of a pipeline shall build, and starts it. */
export function StartRunDialog({ pipeline, onClose }: { pipeline: Pipeline; onClose: () => void }) {
  const [values, setValues] = useState<Values>({ branch: '', revision: '', reason: '' })
  const follow = useFollowRun()
  const start = useControl(
    `start ${pipeline.name}`,
    (params: Record<string, string>) => call<NewRun>(path`pipelines/${pipeline.pipelineid}`, 'start', params),
    {
      quiet: true,
      onSuccess: (run) => {
        onClose()
        follow(run)
      },
    },
  )
  const remote = start.error instanceof ApiError ? start.error.fields : {}
  return (
    <Dialog title={`Start ${pipeline.name}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          const given = Object.entries(values).map(([name, value]) => [name, value.trim()])
          // What is left blank is left to the master.
          const params = Object.fromEntries(given.filter(([, value]) => value !== ''))
          start.mutate({ reason: 'started in the web UI', ...params })
        }}
      >
        <div className={css.form}>
          {FIELDS.map(([name, label, help], i) => (
            <Field key={name} label={label} help={help} error={remote[name]}>
              {(wiring) => (
                <input
                  {...wiring}
                  autoFocus={i === 0}
                  spellCheck={false}
                  value={values[name]}
                  onChange={(event) => setValues((before) => ({ ...before, [name]: event.target.value }))}
                />
              )}
            </Field>
          ))}
        </div>
        {start.error !== null && Object.keys(remote).length === 0 && (
          <p className={css.general} role="alert">
            Could not start the pipeline: {describeError(start.error)}
          </p>
        )}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={start.isPending}>
            Start
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
