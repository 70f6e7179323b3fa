import { useState } from 'react'
import { path } from '../api/base'
import { call } from '../api/client'
import type { Worker } from '../api/types'
import { useControl } from '../auth/session'
import { Button } from './Button'
import { PauseButton } from './PauseButton'
import { ReasonDialog } from './ReasonDialog'

/** What can be asked of a worker: to pause, to finish and end, to end now. */
export function WorkerControls({ worker, small = false }: { worker: Worker; small?: boolean }) {
  const [asking, setAsking] = useState<'stop' | 'kill'>()
  const { workerid, name } = worker
  const stop = useControl(
    `stop ${name}`,
    (reason: string) => call(path`workers/${workerid}`, 'stop', { reason }),
    { done: `${name} ends when it is idle.` },
  )
  const kill = useControl(
    `kill ${name}`,
    (reason: string) => call(path`workers/${workerid}`, 'kill', { reason }),
    { done: `${name} was told to end.` },
  )
  const there = worker.connected_to.length > 0
  return (
    <>
      <PauseButton worker={worker} small={small} />{' '}
      {there && !worker.graceful && (
        <Button
          small={small}
          busy={stop.isPending}
          onClick={() => setAsking('stop')}
          aria-label={`Stop ${name}`}
        >
          Stop
        </Button>
      )}{' '}
      {there && !worker.killed && (
        <Button
          small={small}
          kind="danger"
          busy={kill.isPending}
          onClick={() => setAsking('kill')}
          aria-label={`Kill ${name}`}
        >
          Kill
        </Button>
      )}
      {asking === 'stop' && (
        <ReasonDialog
          title={`Stop ${name}?`}
          text="What it builds now goes on, and it gets no new builds. When it is idle its program ends, until somebody starts it again."
          confirm="Stop"
          onClose={() => setAsking(undefined)}
          onConfirm={(reason) => {
            setAsking(undefined)
            stop.mutate(reason)
          }}
        />
      )}
      {asking === 'kill' && (
        <ReasonDialog
          danger
          title={`Kill ${name}?`}
          text="Its program ends now. What it builds is lost, and tried again on another worker."
          confirm="Kill"
          onClose={() => setAsking(undefined)}
          onConfirm={(reason) => {
            setAsking(undefined)
            kill.mutate(reason)
          }}
        />
      )}
    </>
  )
}
