import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { logIn } from '../api/client'
import { ApiError, describeError } from '../api/errors'
import type { User } from '../api/types'
import { Button } from '../components/Button'
import { Dialog, DialogActions } from '../components/Dialog'
import { Field } from '../components/Field'
import css from './Login.module.css'

/** What a refused login means. */
const explain = (error: Error): string =>
  error instanceof ApiError && error.kind === 'forbidden'
    ? `The master does not accept this token (${error.message}).`
    : describeError(error)

export function LoginForm({ onLogin, onCancel }: { onLogin: (user: User) => void; onCancel?: () => void }) {
  const [token, setToken] = useState('')
  const attempt = useMutation<User, Error, string>({ mutationFn: logIn, onSuccess: onLogin })
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        if (token.trim() !== '') attempt.mutate(token.trim())
      }}
    >
      <Field
        label="Admin token"
        help="The master prints a login link with the token when it starts for the first time."
        error={attempt.error ? explain(attempt.error) : undefined}
      >
        {(wiring) => (
          <input
            {...wiring}
            className={css.token}
            type="password"
            autoComplete="current-password"
            spellCheck={false}
            // biome-ignore lint/a11y/noAutofocus: the only field of a dialog that was asked for
            autoFocus
            value={token}
            onChange={(event) => setToken(event.target.value)}
          />
        )}
      </Field>
      <DialogActions>
        {onCancel && <Button onClick={onCancel}>Cancel</Button>}
        <Button kind="primary" type="submit" busy={attempt.isPending} disabled={token.trim() === ''}>
          Log in
        </Button>
      </DialogActions>
    </form>
  )
}

export function LoginDialog({
  why,
  onLogin,
  onClose,
}: {
  why: string | undefined
  onLogin: (user: User) => void
  onClose: () => void
}) {
  return (
    <Dialog title="Log in" onClose={onClose}>
      <p className={css.why}>
        {why ?? 'Everybody may look. To start, stop or change something, paste the admin token.'}
      </p>
      <LoginForm onLogin={onLogin} onCancel={onClose} />
    </Dialog>
  )
}
