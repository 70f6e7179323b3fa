import { useParams } from '@tanstack/react-router'
import { useLive } from '../api/live'
import { changeBuilds, changeRuns, oneChange } from '../api/queries'
import { BuildTable } from '../components/BuildTable'
import { ChangeDetails } from '../components/ChangeDetails'
import { Page, Panel } from '../components/Page'
import { RunProblem } from '../components/RunProblem'
import { RunTable } from '../components/RunTable'
import { Empty, Loaded } from '../components/States'
import { Ago } from '../components/Time'
import { firstLine, personName } from '../lib/format'

export function ChangePage() {
  const { change: text } = useParams({ from: '/changes/$change' })
  const id = Number(text)
  const change = useLive(oneChange(id))
  const builds = useLive(changeBuilds(id))
  const runs = useLive(changeRuns(id)).data?.items ?? []
  const data = change.data
  return (
    <Page
      title={data ? firstLine(data.comments) || `Change ${text}` : `Change ${text}`}
      lead={
        data && (
          <>
            {personName(data.author)} · <Ago at={data.when_timestamp} />
            {data.branch && ` · ${data.branch}`}
          </>
        )
      }
    >
      <Loaded query={change} what={`change ${text}`}>
        {(item) => (
          <Panel>
            <div style={{ paddingTop: 12 }}>
              <ChangeDetails change={item} />
            </div>
          </Panel>
        )}
      </Loaded>
      {runs.length > 0 && (
        <Panel title="Runs of this change">
          <RunTable runs={runs} caption="Runs of this change" />
          {runs.map((run) => (
            <RunProblem key={run.runid} run={run} link />
          ))}
        </Panel>
      )}
      <Panel title="Builds of this change">
        <Loaded query={builds} what="the builds of this change">
          {({ items }) =>
            items.length > 0 ? (
              <BuildTable builds={items} caption="Builds of this change" />
            ) : (
              <Empty title="Nothing was built for this change">
                No scheduler wanted it, or its builds have not started yet.
              </Empty>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}
