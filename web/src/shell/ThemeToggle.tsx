import { useState } from 'react'
import css from './Shell.module.css'

type Theme = 'system' | 'light' | 'dark'
const NEXT: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' }
const KEY = 'ironmaster.theme'

function stored(): Theme {
  const value = document.documentElement.dataset.theme
  return value === 'light' || value === 'dark' ? value : 'system'
}

const SHAPES: Readonly<Record<Theme, string>> = {
  system: 'M3 4h10v6.5H3zM6 13h4M8 10.5V13',
  light:
    'M8 5.3a2.7 2.7 0 1 1 0 5.4a2.7 2.7 0 1 1 0-5.4M8 1.8v1.2M8 13v1.2M1.8 8H3M13 8h1.2M3.6 3.6l.9.9M11.5 11.5l.9.9M12.4 3.6l-.9.9M4.5 11.5l-.9.9',
  dark: 'M13 9.6A5.5 5.5 0 0 1 6.4 3a5.5 5.5 0 1 0 6.6 6.6z',
}

/** Goes round: as the system, light, dark. `public/boot.js` applies the choice before the first paint. */
export function ThemeToggle() {
  const [theme, setTheme] = useState(stored)
  const choose = (next: Theme) => {
    setTheme(next)
    if (next === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = next
    try {
      if (next === 'system') localStorage.removeItem(KEY)
      else localStorage.setItem(KEY, next)
    } catch {
      // Storage may be blocked; the choice lasts until the page is left.
    }
  }
  const label = `Theme: ${theme === 'system' ? 'as the system' : theme}. Switch to ${NEXT[theme]}.`
  return (
    <button
      type="button"
      className={css.iconButton}
      onClick={() => choose(NEXT[theme])}
      aria-label={label}
      title={label}
    >
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        <path
          d={SHAPES[theme]}
          fill="none"
          stroke="currentColor"
          strokeWidth="1.4"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      </svg>
    </button>
  )
}
