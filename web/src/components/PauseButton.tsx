import { useState } from 'react'
import { path } from '../api/base'
import { call } from '../api/client'
import type { Worker } from '../api/types'
import { useControl } from '../auth/session'
import { Button } from './Button'
import { ReasonDialog } from './ReasonDialog'

/** Pauses a worker (asking why) or lets it go on. */
export function PauseButton({ worker, small = false }: { worker: Worker; small?: boolean }) {
  const [asking, setAsking] = useState(false)
  const { workerid, name } = worker
  const pause = useControl(
    `pause ${name}`,
    (reason: string) => call(path`workers/${workerid}`, 'pause', { reason }),
    {
      done: `${name} takes no new builds.`,
    },
  )
  const unpause = useControl(`unpause ${name}`, () => call(path`workers/${workerid}`, 'unpause'), {
    done: `${name} takes builds again.`,
  })
  return worker.paused ? (
    <Button
      small={small}
      busy={unpause.isPending}
      onClick={() => unpause.mutate(undefined)}
      aria-label={`Unpause ${name}`}
    >
      Unpause
    </Button>
  ) : (
    <>
      <Button
        small={small}
        busy={pause.isPending}
        onClick={() => setAsking(true)}
        aria-label={`Pause ${name}`}
      >
        Pause
      </Button>
      {asking && (
        <ReasonDialog
          title={`Pause ${name}?`}
          text="What it builds now goes on; it gets no new builds until it is unpaused."
          confirm="Pause"
          onClose={() => setAsking(false)}
          onConfirm={(reason) => {
            setAsking(false)
            pause.mutate(reason)
          }}
        />
      )}
    </>
  )
}
