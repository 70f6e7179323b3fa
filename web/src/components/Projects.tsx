import { Link } from '@tanstack/react-router'
import { useLive } from '../api/live'
import { allProjects } from '../api/queries'
import type { Builder } from '../api/types'
import { counted } from '../lib/format'
import { Panel } from './Page'
import css from './Projects.module.css'
import { Loaded } from './States'

/** So many builders are named of each project; the list of builders has the others. */
const NAMED = 20

/** The builders by project, of those that have one. */
export function Projects({ builders }: { builders: readonly Builder[] }) {
  const projects = useLive(allProjects())
  const of = new Map<number, Builder[]>()
  for (const builder of builders)
    if (builder.projectid !== null) of.set(builder.projectid, [...(of.get(builder.projectid) ?? []), builder])
  return (
    <Panel title="Projects">
      <Loaded query={projects} what="the projects">
        {({ items }) => (
          <dl className={css.projects}>
            {items.map(({ projectid, name, description }) => {
              const own = of.get(projectid)
              if (own === undefined) return null
              return (
                <div key={projectid}>
                  <dt title={description ?? undefined}>{name}</dt>
                  <dd>
                    <ul>
                      {own.slice(0, NAMED).map(({ builderid, name }) => (
                        <li key={builderid}>
                          <Link to="/builders/$builder" params={{ builder: String(builderid) }}>
                            {name}
                          </Link>
                        </li>
                      ))}
                      {own.length > NAMED && (
                        <li>
                          <Link to="/builders">{counted(own.length - NAMED, 'other')}</Link>
                        </li>
                      )}
                    </ul>
                  </dd>
                </div>
              )
            })}
          </dl>
        )}
      </Loaded>
    </Panel>
  )
}
