/** Reading values out of `name → [value, source]`. */

import type { Json, Properties } from '../api/types'

/** A property as text, or undefined when it is absent, null or blank. */
export function textProperty(properties: Properties | null | undefined, name: string): string | undefined {
  const value = properties?.[name]?.[0]
  if (value === undefined || value === null || value === '') return undefined
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** The revision that was built: what the source step got, else what was asked for. */
export function builtRevision(properties: Properties | null | undefined): string | undefined {
  const got = properties?.got_revision?.[0]
  // With several code bases it is an object, code base → revision; the first stands for all.
  if (got !== null && typeof got === 'object' && !Array.isArray(got)) {
    const first = Object.values(got).find((value) => typeof value === 'string' && value !== '')
    if (typeof first === 'string') return first
  }
  return textProperty(properties, 'got_revision') ?? textProperty(properties, 'revision')
}

/** Strings as they are, the rest as indented JSON. */
export const showValue = (value: Json): string =>
  typeof value === 'string' ? value : JSON.stringify(value, null, 2)
