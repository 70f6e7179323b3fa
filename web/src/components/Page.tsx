import { type ReactNode, useEffect } from 'react'
import { useSite } from '../auth/session'
import { type Status, statusGlyph } from '../lib/results'
import css from './Page.module.css'

/** Puts the state and the place into the window's title: "✗ Failed · test #7 – Ironmaster". */
export function useTitle(title: string, status?: Status): void {
  const site = useSite().title
  useEffect(() => {
    document.title = `${status ? `${statusGlyph(status)} ` : ''}${title} – ${site}`
  }, [title, status, site])
}

/** A page: its heading, what can be done there, its content. */
export function Page({
  title,
  heading,
  status,
  lead,
  actions,
  children,
}: {
  /** For the window's title. */
  title: string
  heading?: ReactNode
  status?: Status
  lead?: ReactNode
  actions?: ReactNode
  children: ReactNode
}) {
  useTitle(title, status)
  return (
    <div className={css.page}>
      <header className={css.header}>
        <div className={css.headings}>
          <h1>{heading ?? title}</h1>
          {lead && <div className={css.lead}>{lead}</div>}
        </div>
        {actions && <div className={css.actions}>{actions}</div>}
      </header>
      {children}
    </div>
  )
}

/** A framed part of a page. */
export function Panel({
  title,
  aside,
  children,
  flush = true,
}: {
  title?: ReactNode
  aside?: ReactNode
  children: ReactNode
  flush?: boolean
}) {
  return (
    <section className={css.panel}>
      {(title || aside) && (
        <header className={css.panelHeader}>
          <h2>{title}</h2>
          {aside && <div className={css.aside}>{aside}</div>}
        </header>
      )}
      <div className={flush ? undefined : css.padded}>{children}</div>
    </section>
  )
}

export const Count = ({ children }: { children: ReactNode }) => <span className={css.count}>{children}</span>
