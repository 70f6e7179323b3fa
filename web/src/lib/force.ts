/** The force form's values: from the description of its fields to what the master wants. */

import type { ForceField, ForceScheduler, Json } from '../api/types'

export type FormValues = Readonly<Record<string, Json>>

/** All fields that have a value, groups flattened, in order. */
export function leaves(fields: readonly ForceField[]): ForceField[] {
  return fields.flatMap((field) => (field.type === 'nested' ? leaves(field.fields ?? []) : [field]))
}

/** What the form starts with. */
export function initialValues(fields: readonly ForceField[]): FormValues {
  const values: Record<string, Json> = {}
  for (const field of leaves(fields)) {
    if (field.fullName === null) continue
    if (field.type === 'bool') values[field.fullName] = field.default === true
    else if (field.multiple) values[field.fullName] = Array.isArray(field.default) ? field.default : []
    else values[field.fullName] = field.default ?? ''
  }
  return values
}

/** The value of a choice may fill other fields. */
export function autopopulate(values: FormValues, field: ForceField, choice: Json): FormValues {
  const more = typeof choice === 'string' ? field.autopopulate?.[choice] : undefined
  return { ...values, ...(field.fullName !== null && { [field.fullName]: choice }), ...more }
}

/**
 * The parameters of `force`. Fixed fields are left to the server; numbers travel as they were typed, for
 * the server to judge, so that its message stands at the field.
 */
export function forceParams(
  fields: readonly ForceField[],
  values: FormValues,
  builderid: number,
): Record<string, Json> {
  const params: Record<string, Json> = { builderid }
  for (const field of leaves(fields)) {
    if (field.fullName === null || field.type === 'fixed') continue
    const value = values[field.fullName]
    if (value !== undefined) params[field.fullName] = value
  }
  return params
}

/** What can be told without asking the master. */
export function localProblems(fields: readonly ForceField[], values: FormValues): Record<string, string> {
  const problems: Record<string, string> = {}
  for (const field of leaves(fields)) {
    if (field.fullName === null || field.hide || field.type === 'fixed' || field.type === 'bool') continue
    const value = values[field.fullName]
    const blank =
      value === '' || value === null || value === undefined || (Array.isArray(value) && value.length === 0)
    if (field.required && blank) problems[field.fullName] = `${labelOf(field)} needs to be specified`
    else if (!blank && field.type === 'int' && !/^\s*[+-]?\d+\s*$/.test(String(value)))
      problems[field.fullName] = 'this is not a whole number'
  }
  return problems
}

/** Stock forms write these three in small letters, as the names of properties are. */
const COMMON = /^(username|reason|priority)$/

/** Labels come as the configuration's author wrote them, often with a colon. */
export function labelOf(field: ForceField): string {
  const label = (field.label || field.name).trim().replace(/\s*:$/, '') || field.name
  return COMMON.test(label) ? label.charAt(0).toUpperCase() + label.slice(1) : label
}

/** What the button says; stock servers say `force` when the configuration says nothing. */
export const buttonText = (scheduler: Pick<ForceScheduler, 'button_name'>): string =>
  scheduler.button_name === '' || scheduler.button_name === 'force' ? 'Force a build' : scheduler.button_name

/** Leaves out what has no effect: who is logged in is the owner, whatever the form says. */
export function withoutUserName(fields: readonly ForceField[]): ForceField[] {
  return fields.flatMap((field) => {
    if (field.type === 'username' && !field.required) return []
    return field.fields === undefined ? field : { ...field, fields: withoutUserName(field.fields) }
  })
}
