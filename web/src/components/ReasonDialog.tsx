import { useState } from 'react'
import { Button } from './Button'
import { Dialog, DialogActions } from './Dialog'
import { Field } from './Field'
import css from './ReasonDialog.module.css'

/** Asks before something is stopped or paused, and why; the reason may stay blank. */
export function ReasonDialog({
  title,
  text,
  confirm,
  danger = false,
  onConfirm,
  onClose,
}: {
  title: string
  text: string
  confirm: string
  danger?: boolean
  onConfirm: (reason: string) => void
  onClose: () => void
}) {
  const [reason, setReason] = useState('')
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          onConfirm(reason.trim())
        }}
      >
        <p className={css.text}>{text}</p>
        <Field label="Reason">
          {(wiring) => (
            <input
              {...wiring}
              autoFocus
              value={reason}
              placeholder="optional; others will see it"
              onChange={(event) => setReason(event.target.value)}
            />
          )}
        </Field>
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind={danger ? 'danger' : 'primary'} type="submit">
            {confirm}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
