import { createContext, type ReactNode, useCallback, useContext, useRef, useState } from 'react'
import { Button } from './Button'
import css from './Notices.module.css'
import { StatusIcon } from './Status'

type Tone = 'success' | 'failure'
type Notify = (tone: Tone, text: string, retry?: () => void) => void

interface Notice {
  id: number
  tone: Tone
  text: string
  retry: (() => void) | undefined
}

const NoticeContext = createContext<Notify>(() => {})
export const useNotify = (): Notify => useContext(NoticeContext)

/** At most so many at once; older ones make room. */
const MOST = 4
const SUCCESS_MS = 5000

/** Short messages about what was just done. Failures stay until they are closed. */
export function NoticeProvider({ children }: { children: ReactNode }) {
  const [notices, setNotices] = useState<readonly Notice[]>([])
  const lastId = useRef(0)
  const close = useCallback((id: number) => setNotices((all) => all.filter((each) => each.id !== id)), [])
  const notify = useCallback<Notify>(
    (tone, text, retry) => {
      lastId.current += 1
      const id = lastId.current
      setNotices((all) =>
        [...all.filter((each) => each.text !== text), { id, tone, text, retry }].slice(-MOST),
      )
      if (tone === 'success') setTimeout(() => close(id), SUCCESS_MS)
    },
    [close],
  )
  return (
    <NoticeContext value={notify}>
      {children}
      <ol className={css.notices} aria-live="polite" aria-label="Messages">
        {notices.map(({ id, tone, text, retry }) => (
          <li key={id} className={css.notice}>
            <StatusIcon status={tone} label={tone === 'failure' ? 'Failed' : 'Done'} />
            <span>{text}</span>
            {retry && (
              <Button
                small
                onClick={() => {
                  close(id)
                  retry()
                }}
              >
                Retry
              </Button>
            )}
            <button
              type="button"
              className={css.close}
              onClick={() => close(id)}
              aria-label="Close this message"
            >
              ×
            </button>
          </li>
        ))}
      </ol>
    </NoticeContext>
  )
}
