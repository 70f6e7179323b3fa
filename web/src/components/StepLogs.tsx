import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import { useLive } from '../api/live'
import { stepLogs } from '../api/queries'
import type { Build, Step } from '../api/types'
import { isBad, stepStatus } from '../lib/results'
import { LogBody } from '../log/LogBody'
import { Button } from './Button'
import { Empty, Loaded } from './States'
import css from './Steps.module.css'

/** The logs of a step: one at a time, with buttons to choose when there are several. */
export function StepLogs({ build, step }: { build: Build; step: Step }) {
  const logs = useLive(stepLogs(step.stepid))
  const [chosen, setChosen] = useState<string>()
  return (
    <Loaded query={logs} what={`the logs of ${step.name}`}>
      {({ items }) => {
        // Show first what somebody probably looks for: not an empty one.
        const log =
          items.find((each) => each.slug === chosen) ?? items.find((each) => each.num_lines > 0) ?? items[0]
        if (log === undefined) {
          return (
            <Empty title={step.complete ? 'This step wrote no log' : 'No log yet'}>
              {step.complete ? undefined : 'It appears here as soon as something is written.'}
            </Empty>
          )
        }
        const params = {
          builder: String(build.builderid),
          number: String(build.number),
          step: String(step.number),
          slug: log.slug,
        }
        return (
          <>
            {items.length > 1 && (
              <fieldset className={css.logTabs}>
                <legend className="visually-hidden">Logs of {step.name}</legend>
                {items.map((each) => (
                  <Button
                    key={each.logid}
                    small
                    kind="quiet"
                    aria-pressed={each === log}
                    onClick={() => setChosen(each.slug)}
                  >
                    {each.name}
                  </Button>
                ))}
              </fieldset>
            )}
            <LogBody
              key={log.logid}
              log={log}
              params={params}
              startAt={isBad(stepStatus(step)) || !log.complete ? 'end' : 'start'}
              extra={
                <Link
                  to="/builders/$builder/builds/$number/steps/$step/logs/$slug"
                  params={params}
                  className={css.full}
                >
                  Full view
                </Link>
              }
            />
          </>
        )
      }}
    </Loaded>
  )
}
