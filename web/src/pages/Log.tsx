import { Link, useParams, useSearch } from '@tanstack/react-router'
import { useMemo } from 'react'
import { useLive } from '../api/live'
import { buildSteps, oneBuild, stepLogs } from '../api/queries'
import { useTitle } from '../components/Page'
import { Empty, Failure, Loading } from '../components/States'
import { StatusIcon } from '../components/Status'
import { useBuilders } from '../lib/names'
import { isBad, stepStatus } from '../lib/results'
import { LogBody } from '../log/LogBody'
import { parseRange } from '../log/window'
import css from './Log.module.css'
import { useBuilderId } from './useBuilderId'

/** One log over the whole page. */
export function LogPage() {
  const params = useParams({ from: '/builders/$builder/builds/$number/steps/$step/logs/$slug' })
  const { L } = useSearch({ from: '/builders/$builder/builds/$number/steps/$step/logs/$slug' })
  const selected = useMemo(() => parseRange(L), [L])
  const id = useBuilderId(params.builder)
  const number = Number(params.number)
  const build = useLive({
    ...oneBuild(id.builderid ?? 0, number),
    enabled: id.builderid !== undefined && Number.isInteger(number),
  })
  const steps = useLive(buildSteps(build.data?.buildid))
  // A step is addressed by number, or by name as people may write it.
  const step = steps.data?.items.find(
    (each) => String(each.number) === params.step || each.name === params.step,
  )
  const logs = useLive(stepLogs(step?.stepid))
  const log = logs.data?.items.find((each) => each.slug === params.slug)
  const builders = useBuilders()
  const name = id.builderid === undefined ? params.builder : builders.name(id.builderid)
  const status = step && stepStatus(step)
  useTitle(`${params.slug} · ${step?.name ?? `step ${params.step}`} · ${name} #${params.number}`, status)

  const error = id.error ?? build.error ?? steps.error ?? logs.error
  const retry = () => Promise.all([build.refetch(), steps.refetch(), logs.refetch()])
  const target = { builder: params.builder, number: params.number }
  return (
    <div className={css.page}>
      <header className={css.header}>
        <h1 className={css.trail}>
          <Link to="/builders/$builder" params={{ builder: params.builder }}>
            {name}
          </Link>
          <span aria-hidden="true">/</span>
          <Link to="/builders/$builder/builds/$number" params={target}>
            #{params.number}
          </Link>
          <span aria-hidden="true">/</span>
          <Link
            to="/builders/$builder/builds/$number"
            params={target}
            search={step ? { step: step.number } : {}}
          >
            {status && <StatusIcon status={status} />} {step?.name ?? `step ${params.step}`}
          </Link>
          <span aria-hidden="true">/</span>
          <span className={css.log}>{log?.name ?? params.slug}</span>
        </h1>
        <nav aria-label="Logs of the step" className={css.others}>
          {(logs.data?.items.length ?? 0) > 1 &&
            logs.data?.items.map((each) => (
              <Link
                key={each.logid}
                to="/builders/$builder/builds/$number/steps/$step/logs/$slug"
                params={{ ...params, slug: each.slug }}
                activeProps={{ className: css.active ?? '' }}
                activeOptions={{ includeSearch: false }}
              >
                {each.name}
              </Link>
            ))}
        </nav>
      </header>
      <div className={css.body}>
        {error && <Failure what={`the log ${params.slug}`} error={error} retry={retry} />}
        {log !== undefined ? (
          <LogBody
            key={log.logid}
            log={log}
            params={params}
            selected={selected}
            startAt={!log.complete || (status !== undefined && isBad(status)) ? 'end' : 'start'}
            fill
          />
        ) : logs.data !== undefined ? (
          <Empty title={`This step has no log "${params.slug}"`}>
            <Link to="/builders/$builder/builds/$number" params={target}>
              To the build
            </Link>
          </Empty>
        ) : steps.data !== undefined && step === undefined ? (
          <Empty title={`The build has no step ${params.step}`}>
            <Link to="/builders/$builder/builds/$number" params={target}>
              To the build
            </Link>
          </Empty>
        ) : (
          !error && <Loading what="the log" />
        )}
      </div>
    </div>
  )
}
