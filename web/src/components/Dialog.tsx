import { type ReactNode, useEffect, useId, useRef } from 'react'
import css from './Dialog.module.css'

/** A modal dialog: the browser's own, which brings focus handling, `Esc` and inert background. */
export function Dialog({
  title,
  children,
  onClose,
  wide = false,
}: {
  title: ReactNode
  children: ReactNode
  onClose: () => void
  wide?: boolean
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    const element = dialog.current
    if (element !== null && !element.open) element.showModal()
    return () => element?.close()
  }, [])
  return (
    <dialog
      ref={dialog}
      className={css.dialog}
      data-wide={wide || undefined}
      aria-labelledby={heading}
      onCancel={(event) => {
        // Fired for file inputs inside, too.
        if (event.target !== dialog.current) return
        event.preventDefault()
        onClose()
      }}
    >
      <h2 id={heading} className={css.title}>
        {title}
      </h2>
      {children}
    </dialog>
  )
}

/** The row of buttons at the end of a dialog's form. */
export const DialogActions = ({ children }: { children: ReactNode }) => (
  <div className={css.actions}>{children}</div>
)
