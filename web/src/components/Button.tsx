import type { ButtonHTMLAttributes } from 'react'
import css from './Button.module.css'

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: 'plain' | 'primary' | 'danger' | 'quiet'
  /** Shows that it is at work, and takes no further clicks. */
  busy?: boolean
  small?: boolean
}

export function Button({ kind = 'plain', busy = false, small = false, className, children, ...rest }: Props) {
  return (
    <button
      type="button"
      {...rest}
      data-kind={kind}
      data-small={small || undefined}
      aria-busy={busy || undefined}
      disabled={busy || rest.disabled}
      className={`${css.button} ${className ?? ''}`}
    >
      {children}
    </button>
  )
}
