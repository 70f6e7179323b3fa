import { type ReactNode, useId } from 'react'
import css from './Field.module.css'

/** A labelled input with its help and its error, wired up for screen readers. */
export function Field({
  label,
  help,
  error,
  required,
  children,
}: {
  label: string
  help?: string | undefined
  error?: string | undefined
  required?: boolean
  children: (wiring: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: true }) => ReactNode
}) {
  const id = useId()
  const described = [help ? `${id}-help` : '', error ? `${id}-error` : ''].filter(Boolean).join(' ')
  return (
    <div className={css.field} data-invalid={error ? true : undefined}>
      <label htmlFor={id} className={css.label}>
        {label}
        {required && <span className={css.required}> (required)</span>}
      </label>
      {children({
        id,
        ...(described !== '' && { 'aria-describedby': described }),
        ...(error && { 'aria-invalid': true as const }),
      })}
      {help && (
        <p id={`${id}-help`} className={css.help}>
          {help}
        </p>
      )}
      {error && (
        <p id={`${id}-error`} className={css.error}>
          {error}
        </p>
      )}
    </div>
  )
}
