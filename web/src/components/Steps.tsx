import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import type { Build, Step } from '../api/types'
import { describeCause } from '../lib/cause'
import { useNow } from '../lib/clock'
import { counted } from '../lib/format'
import { isBad, stepStatus } from '../lib/results'
import { Button } from './Button'
import { Empty } from './States'
import { StatusIcon } from './Status'
import { StepLogs } from './StepLogs'
import css from './Steps.module.css'
import { Duration } from './Time'

/**
 * Only web addresses and files that the build has uploaded become links: a step's URLs come from the configuration
 * and from build output.
 */
const isOutside = (url: string): boolean => /^(https?:\/\/|files\/)/i.test(url)

/**
 * The steps of a build. Without a word from the user, what matters is unfolded: the first bad step, else
 * the running one.
 */
export function Steps({
  build,
  steps,
  unfold,
}: {
  build: Build
  steps: readonly Step[]
  unfold: number | undefined
}) {
  const [choice, setChoice] = useState<ReadonlyMap<number, boolean>>(() => new Map())
  const [hidden, setHidden] = useState(false)
  const now = useNow(!build.complete)
  const visible = steps.filter((step) => !step.hidden || hidden)
  const hiddenCount = steps.filter((step) => step.hidden).length
  const automatic =
    unfold ??
    (
      steps.find((step) => isBad(stepStatus(step))) ??
      steps.findLast((step) => stepStatus(step) === 'running')
    )?.number
  const isOpen = (step: Step) => choice.get(step.number) ?? step.number === automatic
  const span = { from: build.started_at, to: Math.max(build.complete_at ?? now, build.started_at + 1) }

  if (steps.length === 0) {
    return (
      <Empty title={build.complete ? 'This build has no steps' : 'No step has started yet'}>
        {build.complete ? 'It ended before the first one.' : 'The worker is being prepared.'}
      </Empty>
    )
  }
  return (
    <>
      <ol className={css.steps}>
        {visible.map((step) => (
          <StepRow
            key={step.stepid}
            build={build}
            step={step}
            span={span}
            open={isOpen(step)}
            toggle={() => setChoice((before) => new Map(before).set(step.number, !isOpen(step)))}
            // Somebody reads here: it must not fold up when the next step starts.
            hold={() => {
              if (!choice.has(step.number)) setChoice((before) => new Map(before).set(step.number, true))
            }}
          />
        ))}
      </ol>
      {hiddenCount > 0 && (
        <p className={css.hidden}>
          <Button small kind="quiet" onClick={() => setHidden(!hidden)}>
            {hidden ? 'Hide' : 'Show'} {counted(hiddenCount, 'hidden step')}
          </Button>
        </p>
      )}
    </>
  )
}

function StepRow({
  build,
  step,
  span,
  open,
  toggle,
  hold,
}: {
  build: Build
  step: Step
  span: { from: number; to: number }
  open: boolean
  toggle: () => void
  hold: () => void
}) {
  const status = stepStatus(step)
  const id = `step-${step.stepid}`
  return (
    <li className={css.step} data-open={open || undefined}>
      <div className={css.row}>
        <button type="button" className={css.toggle} aria-expanded={open} aria-controls={id} onClick={toggle}>
          <span className={css.chevron} aria-hidden="true" />
          <StatusIcon status={status} />
          <span className={css.name}>{step.name}</span>
          <span className={css.text}>
            {[step.state_string, describeCause(step.cause)].filter(Boolean).join(' · ')}
          </span>
        </button>
        {step.urls.map(({ name, url }) =>
          isOutside(url) ? (
            <a
              key={`${name} ${url}`}
              href={url}
              className={css.url}
              target="_blank"
              rel="noopener noreferrer"
            >
              {name}
            </a>
          ) : url.startsWith('#/') ? (
            <Link key={`${name} ${url}`} to={url.slice(1)} className={css.url}>
              {name}
            </Link>
          ) : null,
        )}
        <Bar step={step} span={span} status={status} />
        <span className={css.took}>
          {step.started_at !== null && <Duration from={step.started_at} to={step.complete_at} />}
        </span>
      </div>
      <div id={id} onWheelCapture={hold} onPointerDownCapture={hold} onKeyDownCapture={hold}>
        {open && <StepLogs build={build} step={step} />}
      </div>
    </li>
  )
}

/** When in the build the step ran; decoration, the duration beside it says it in numbers. */
function Bar({ step, span, status }: { step: Step; span: { from: number; to: number }; status: string }) {
  if (step.started_at === null) return <span className={css.bar} aria-hidden="true" />
  const whole = span.to - span.from
  const left = Math.min(1, Math.max(0, (step.started_at - span.from) / whole))
  const right = Math.min(1, Math.max(left, ((step.complete_at ?? span.to) - span.from) / whole))
  return (
    <span className={css.bar} aria-hidden="true">
      <span
        data-status={status}
        style={{ left: `${left * 100}%`, width: `max(3px, ${(right - left) * 100}%)` }}
      />
    </span>
  )
}
