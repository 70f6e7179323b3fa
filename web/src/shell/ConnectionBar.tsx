import { useEffect, useState, useSyncExternalStore } from 'react'
import { useSocket } from '../api/live'
import { Button } from '../components/Button'
import css from './Shell.module.css'

/** A blip is not worth a word. */
const PATIENCE_MS = 1500

/** Says that what is shown may be old, while the event connection is away. */
export function ConnectionBar() {
  const socket = useSocket()
  const connection = useSyncExternalStore(socket.watch, socket.connection)
  const away = connection.phase !== 'open'
  const [shown, setShown] = useState(false)
  useEffect(() => {
    if (!away) {
      setShown(false)
      return
    }
    const timer = setTimeout(() => setShown(true), PATIENCE_MS)
    return () => clearTimeout(timer)
  }, [away])

  // The live region exists from the start: one that appears with its text is often not read out.
  return (
    <div role="status" className={css.connection} hidden={!shown}>
      {shown && (
        <>
          <span className={css.pulse} aria-hidden="true" />
          <span>Connection lost, reconnecting. What you see may be out of date.</span>
          <Button small kind="quiet" onClick={socket.retryNow} disabled={connection.phase !== 'waiting'}>
            Try now
          </Button>
        </>
      )}
    </div>
  )
}
