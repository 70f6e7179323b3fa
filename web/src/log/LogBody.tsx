import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { logText, rawLogUrl } from '../api/client'
import type { ApiError } from '../api/errors'
import type { Log } from '../api/types'
import { Empty, Loaded } from '../components/States'
import css from './LogBody.module.css'
import { LogView } from './LogView'
import { formatRange, type LineRange } from './window'

export interface LogParams {
  builder: string
  number: string
  step: string
  slug: string
}

/** The address of a line, for other people. */
export function lineUrl(params: LogParams, range: LineRange, location: Location = window.location): string {
  const { builder, number, step, slug } = params
  const parts = ['builders', builder, 'builds', number, 'steps', step, 'logs', slug].map(encodeURIComponent)
  return `${location.origin}${location.pathname}#/${parts.join('/')}?L=${formatRange(range)}`
}

/** A log, by its type. */
export function LogBody({
  log,
  params,
  selected,
  fill = false,
  startAt,
  extra,
}: {
  log: Log
  params: LogParams
  selected?: LineRange | undefined
  fill?: boolean
  startAt: 'start' | 'end'
  extra?: ReactNode
}) {
  const navigate = useNavigate()
  if (log.type === 'd')
    return (
      <Empty title="This log was deleted">
        The master keeps logs only as long as its configuration says.
      </Empty>
    )
  if (log.type === 'h') return <HtmlLog log={log} fill={fill} extra={extra} />
  return (
    <LogView
      log={log}
      fill={fill}
      startAt={startAt}
      selected={selected}
      extra={extra}
      linkTo={(range) => lineUrl(params, range)}
      onSelect={(range) =>
        void navigate({
          to: '/builders/$builder/builds/$number/steps/$step/logs/$slug',
          params: { ...params },
          search: { L: formatRange(range) },
          // Within the full view, lines are no places to go back to.
          replace: fill,
          resetScroll: false,
        })
      }
    />
  )
}

/** HTML from a build is foreign: it gets a frame without scripts and without this site's rights. */
function HtmlLog({ log, fill, extra }: { log: Log; fill: boolean; extra?: ReactNode }) {
  const query = useQuery<string, ApiError>({
    queryKey: ['logs', log.logid, 'html', log.num_lines],
    queryFn: ({ signal }) => logText(log.logid, signal),
  })
  return (
    <>
      <p className={css.bar}>
        <span>HTML</span>
        <a href={rawLogUrl(log.logid)} download>
          Download
        </a>
        {extra}
      </p>
      <Loaded query={query} what={`the log ${log.name}`}>
        {(html) => (
          <iframe
            title={`Log ${log.name}`}
            sandbox=""
            srcDoc={html}
            className={css.frame}
            data-fill={fill || undefined}
          />
        )}
      </Loaded>
    </>
  )
}
