import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { path } from '../api/base'
import { call } from '../api/client'
import { ApiError, describeError } from '../api/errors'
import type { ForceField, ForceScheduler, Json } from '../api/types'
import { useControl, useSession } from '../auth/session'
import {
  autopopulate,
  buttonText,
  type FormValues,
  forceParams,
  initialValues,
  labelOf,
  leaves,
  localProblems,
  withoutUserName,
} from '../lib/force'
import { Button } from './Button'
import { Dialog, DialogActions } from './Dialog'
import { Field } from './Field'
import css from './ForceDialog.module.css'

/** What `force` and `rebuild` answer: the build set, and builder id → request id. */
export type Started = readonly [bsid: number, requests: Readonly<Record<string, number>>]

/** After starting something, the page of its request shows what becomes of it. */
export function useFollowRequest() {
  const navigate = useNavigate()
  return (started: Started) => {
    const request = Object.values(started[1])[0]
    if (request !== undefined)
      void navigate({ to: '/buildrequests/$request', params: { request: String(request) } })
  }
}

/** The form of a force scheduler, for one builder. */
export function ForceDialog({
  scheduler,
  builderid,
  builderName,
  onClose,
}: {
  scheduler: ForceScheduler
  builderid: number
  builderName: string
  onClose: () => void
}) {
  const { name: user } = useSession()
  const fields = user === undefined ? scheduler.all_fields : withoutUserName(scheduler.all_fields)
  const [values, setValues] = useState<FormValues>(() => initialValues(fields))
  const [local, setLocal] = useState<Readonly<Record<string, string>>>({})
  const follow = useFollowRequest()
  const force = useControl(
    `start a build on ${builderName}`,
    (params: Record<string, Json>) => call<Started>(path`forceschedulers/${scheduler.name}`, 'force', params),
    {
      quiet: true,
      onSuccess: (started) => {
        onClose()
        follow(started)
      },
    },
  )
  const remote = force.error instanceof ApiError ? force.error.fields : {}
  const errors = { ...remote, ...local }
  const known = new Set(leaves(fields).map((field) => field.fullName))
  // What belongs to no field on the form must not get lost.
  const strays = Object.entries(remote).filter(([name]) => !known.has(name))
  const general =
    force.error !== null && Object.keys(remote).length === 0
      ? [describeError(force.error)]
      : strays.map(([, text]) => text)

  return (
    <Dialog title={`${buttonText(scheduler)}: ${builderName}`} onClose={onClose} wide>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          const problems = localProblems(fields, values)
          setLocal(problems)
          if (Object.keys(problems).length === 0) force.mutate(forceParams(fields, values, builderid))
        }}
      >
        <div className={css.form}>
          {fields.map((field, i) => (
            <FormField
              // biome-ignore lint/suspicious/noArrayIndexKey: anonymous groups have no other key, and the list is fixed
              key={`${field.fullName}-${i}`}
              field={field}
              values={values}
              errors={errors}
              set={(one, value) => {
                setValues((before) => autopopulate(before, one, value))
                setLocal(({ [one.fullName ?? '']: _gone, ...rest }) => rest)
              }}
            />
          ))}
        </div>
        {general.length > 0 && (
          <p className={css.general} role="alert">
            Could not start the build: {general.join('; ')}
          </p>
        )}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={force.isPending}>
            Start build
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

interface FieldProps {
  field: ForceField
  values: FormValues
  errors: Readonly<Record<string, string>>
  set: (field: ForceField, value: Json) => void
}

function FormField(props: FieldProps) {
  const { field } = props
  if (field.hide) return null
  if (field.type === 'nested') return <Group {...props} />
  if (field.fullName === null) return null
  return <Leaf {...props} name={field.fullName} />
}

function Group(props: FieldProps) {
  const { field } = props
  const children = (field.fields ?? []).filter((child) => !child.hide)
  if (children.length === 0) return null
  return (
    <fieldset className={css.group} data-named={field.label !== '' || undefined}>
      {field.label !== '' && <legend>{labelOf(field)}</legend>}
      <div
        className={css.grid}
        style={{ '--columns': Math.min(field.columns ?? 1, 2) } as React.CSSProperties}
      >
        {children.map((child, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: as above
          <FormField key={`${child.fullName}-${i}`} {...props} field={child} />
        ))}
      </div>
    </fieldset>
  )
}

function Leaf({ field, values, errors, set, name }: FieldProps & { name: string }) {
  const value = values[name]
  const error = errors[name]
  const label = labelOf(field)
  if (field.type === 'bool') {
    return (
      <div className={css.check}>
        <label>
          <input
            type="checkbox"
            checked={value === true}
            onChange={(event) => set(field, event.target.checked)}
          />{' '}
          {label}
        </label>
        {field.tooltip && <span className={css.tooltip}>{field.tooltip}</span>}
        {error && <span className={css.error}>{error}</span>}
      </div>
    )
  }
  const help =
    field.tooltip ||
    (field.type === 'username' && field.need_email ? 'as Name <mail@example.org>' : undefined)
  return (
    <Field label={label} help={help} error={error} required={field.required}>
      {(wiring) => <Input {...wiring} field={field} value={value} set={(next) => set(field, next)} />}
    </Field>
  )
}

function Input({
  field,
  value,
  set,
  ...wiring
}: {
  field: ForceField
  value: Json | undefined
  set: (value: Json) => void
  id: string
}) {
  const text = value === null || value === undefined ? '' : String(value)
  switch (field.type) {
    case 'textarea':
      return (
        <textarea
          {...wiring}
          rows={field.rows ?? 4}
          value={text}
          onChange={(event) => set(event.target.value)}
        />
      )
    case 'list': {
      const choices = field.choices ?? []
      if (field.multiple) {
        const chosen = Array.isArray(value) ? value.map(String) : []
        return (
          <select
            {...wiring}
            multiple
            size={Math.min(8, Math.max(3, choices.length))}
            value={chosen}
            onChange={(event) => set([...event.target.selectedOptions].map((option) => option.value))}
          >
            {choices.map((choice) => (
              <option key={choice}>{choice}</option>
            ))}
          </select>
        )
      }
      if (field.strict === false) {
        return (
          <>
            <input
              {...wiring}
              list={`${wiring.id}-choices`}
              value={text}
              onChange={(event) => set(event.target.value)}
            />
            <datalist id={`${wiring.id}-choices`}>
              {choices.map((choice) => (
                <option key={choice} value={choice} />
              ))}
            </datalist>
          </>
        )
      }
      return (
        <select {...wiring} value={text} onChange={(event) => set(event.target.value)}>
          {!choices.includes(text) && <option value={text}>{text}</option>}
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      )
    }
    case 'file':
      return (
        <input
          {...wiring}
          type="file"
          onChange={(event) => {
            const file = event.target.files?.[0]
            if (file === undefined) set('')
            else void file.text().then(set)
          }}
        />
      )
    case 'fixed':
      return <input {...wiring} value={text} readOnly />
    default:
      // Numbers are text fields: the master judges them, and `type=number` hides what it cannot read.
      return (
        <input
          {...wiring}
          type="text"
          inputMode={field.type === 'int' ? 'numeric' : undefined}
          spellCheck={false}
          value={text}
          onChange={(event) => set(event.target.value)}
        />
      )
  }
}
