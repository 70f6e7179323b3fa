import { useQuery } from '@tanstack/react-query'
import { siteRoot } from '../api/base'
import type { Page as ListPage } from '../api/client'
import type { ApiError } from '../api/errors'
import { configQuery, configurationsQuery } from '../api/queries'
import type { Configuration, SiteConfig } from '../api/types'
import { Page, Panel } from '../components/Page'
import { Loaded } from '../components/States'
import { Ago } from '../components/Time'
import facts from './Build.module.css'

export function About() {
  const config = useQuery<SiteConfig, ApiError>(configQuery)
  const configurations = useQuery<ListPage<Configuration>, ApiError>(configurationsQuery)
  return (
    <Page title="About" heading="About this site">
      <Panel title="Versions" flush={false}>
        <Loaded query={config} what="the site's configuration">
          {(site) => (
            <dl className={facts.facts}>
              {site.versions.map(([name, version]) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>{version}</dd>
                </div>
              ))}
            </dl>
          )}
        </Loaded>
      </Panel>
      <Panel title="Configurations" flush={false}>
        <Loaded query={configurations} what="the history of configurations">
          {(page) => (
            <dl className={facts.facts}>
              {page.items.map((entry) => (
                <div key={`${entry.digest} ${entry.loaded_at}`}>
                  <dt>
                    <code title={entry.digest}>{entry.digest.slice(0, 12)}</code>
                  </dt>
                  <dd>
                    <Ago at={entry.loaded_at} /> by {entry.by} ({entry.via})
                    {entry.in_force ? ', in force' : ''}: {entry.files.join(', ')}
                  </dd>
                </div>
              ))}
            </dl>
          )}
        </Loaded>
      </Panel>
      <Panel title="For programs" flush={false}>
        <p>
          Everything on these pages comes from the REST API at{' '}
          <a href={`${siteRoot()}api/v2`}>
            <code>{siteRoot()}api/v2</code>
          </a>{' '}
          and the events at <code>{siteRoot().replace(/^http/, 'ws')}ws</code>. Your scripts can use the same.
        </p>
      </Panel>
      <Panel title="Keys in a log" flush={false}>
        <dl className={facts.facts}>
          {[
            ['g', 'to the start'],
            ['G', 'to the end'],
            ['f', 'follow, or stop following'],
            ['w', 'wrap long lines, or not'],
            ['/', 'search'],
            ['Enter, Shift+Enter', 'next and previous match'],
            ['Shift+click on a number', 'choose a range of lines'],
          ].map(([key, what]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </Panel>
    </Page>
  )
}
