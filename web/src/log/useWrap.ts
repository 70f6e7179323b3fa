import { useState } from 'react'

const KEY = 'ironmaster.wrap'

/** Whether long lines are wrapped: people choose it once, for all logs. */
export function useWrap(): [wrap: boolean, toggle: () => void] {
  const [wrap, setWrap] = useState(() => {
    try {
      return localStorage.getItem(KEY) === '1'
    } catch {
      // Storage may be blocked.
      return false
    }
  })
  const toggle = () => {
    setWrap(!wrap)
    try {
      if (wrap) localStorage.removeItem(KEY)
      else localStorage.setItem(KEY, '1')
    } catch {
      // Then it is for this log alone.
    }
  }
  return [wrap, toggle]
}
