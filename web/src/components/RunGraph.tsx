/** The jobs of a run as a graph. In a file of its own, because what draws it is loaded only where it is needed. */

import '@xyflow/react/dist/base.css'
import {
  Controls,
  type Edge,
  Handle,
  MarkerType,
  type Node,
  type NodeProps,
  Position,
  ReactFlow,
  useReactFlow,
} from '@xyflow/react'
import { type FocusEvent, useMemo } from 'react'
import type { Job } from '../api/types'
import { layout } from '../lib/layers'
import { groupJobs, type JobGroup, jobShown, shortName } from '../lib/runs'
import { JobLink, rowId } from './JobLink'
import css from './RunGraph.module.css'
import { StatusIcon } from './Status'
import { Duration } from './Time'

const WIDTH = 236
const GAPS = { width: WIDTH, across: 56, down: 18 }
/** As in the style sheet: a job, a heading of a group, and what is around both. */
const ROW = 46
const HEADING = 28
const FRAME = 2
const heightOf = ({ jobs }: JobGroup) => FRAME + jobs.length * ROW + (jobs.length > 1 ? HEADING : 0)
/** The graph is as high as its boxes, within limits. */
const LEAST = 170
const MOST = 520
const MARGIN = 24

type GroupNode = Node<{ group: JobGroup }, 'group-of-jobs'>
const TYPES = { 'group-of-jobs': GroupBox }

export default function RunGraph({ jobs }: { jobs: readonly Job[] }) {
  const { nodes, edges, height } = useMemo(() => graph(jobs), [jobs])
  // Anew when boxes come or go, so that all of them are in view.
  const shape = nodes.map(({ id, height }) => `${id} ${height}`).join('\n')
  return (
    <section
      className={css.graph}
      style={{ height: Math.min(MOST, Math.max(LEAST, height + 2 * MARGIN)) }}
      aria-label="Graph of the jobs"
    >
      <ReactFlow
        key={shape}
        nodes={nodes}
        edges={edges}
        nodeTypes={TYPES}
        fitView
        // Small enough for all of it, but not too small to be read, or to be touched: a job is 24 pixels high at least.
        fitViewOptions={{ padding: 0.05, minZoom: 0.55, maxZoom: 1 }}
        minZoom={0.1}
        maxZoom={1.5}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        // The wheel scrolls the page.
        zoomOnScroll={false}
        preventScrolling={false}
      >
        <Controls showInteractive={false} />
      </ReactFlow>
    </section>
  )
}

/** Boxes and arrows. What is needed of a matrix is an arrow from all of it. */
export function graph(jobs: readonly Job[]) {
  const groups = groupJobs(jobs)
  const groupOf = new Map(jobs.map((job) => [job.number, job.group]))
  const boxes = groups.map((group) => {
    const needs = new Set(group.jobs.flatMap((job) => job.needs.map((need) => groupOf.get(need))))
    return {
      id: group.name,
      group,
      needs: [...needs].filter((need) => need !== undefined && need !== group.name) as string[],
      height: heightOf(group),
    }
  })
  const places = layout(boxes, GAPS)
  const nodes: GroupNode[] = boxes.map(({ id, group, height }) => {
    const { x, y } = places.get(id) ?? { x: 0, y: 0 }
    const side = { x: 0, y: height / 2, width: 1, height: 1 }
    return {
      id,
      type: 'group-of-jobs',
      position: { x, y },
      data: { group },
      width: WIDTH,
      height,
      // Known beforehand: nothing has to be drawn twice.
      measured: { width: WIDTH, height },
      handles: [
        { ...side, type: 'target', position: Position.Left },
        { ...side, type: 'source', position: Position.Right, x: WIDTH },
      ],
    }
  })
  const edges: Edge[] = boxes.flatMap(({ id, needs }) =>
    needs.map((need) => ({
      id: JSON.stringify([need, id]),
      source: need,
      target: id,
      markerEnd: { type: MarkerType.ArrowClosed, color: 'var(--line-strong)', width: 16, height: 16 },
    })),
  )
  const bottom = boxes.map(({ id, height }) => (places.get(id)?.y ?? 0) + height)
  return { nodes, edges, height: Math.max(0, ...bottom) }
}

function GroupBox({ id, data: { group } }: NodeProps<GroupNode>) {
  const flow = useReactFlow()
  /** Somebody who goes from job to job with the keyboard sees where they are. */
  const show = (event: FocusEvent) => {
    if (event.target.matches(':focus-visible'))
      void flow.fitView({ nodes: [{ id }], maxZoom: 1, minZoom: Math.min(1, flow.getZoom()) })
  }
  return (
    <>
      <Handle type="target" position={Position.Left} isConnectable={false} className={css.handle} />
      <div className={`${css.box} nopan`} data-many={group.jobs.length > 1 || undefined}>
        {group.jobs.length > 1 && (
          <div className={css.heading}>
            {group.name} <span className={css.count}>{group.jobs.length}</span>
          </div>
        )}
        {group.jobs.map((job) => (
          <JobEntry
            key={job.jobid}
            job={job}
            name={group.jobs.length > 1 ? shortName(job) : job.name}
            onFocus={show}
          />
        ))}
      </div>
      <Handle type="source" position={Position.Right} isConnectable={false} className={css.handle} />
    </>
  )
}

function JobEntry({ job, name, onFocus }: { job: Job; name: string; onFocus: (event: FocusEvent) => void }) {
  const { status, text } = jobShown(job)
  const content = (
    <>
      <StatusIcon status={status} label="" />
      <span className={css.words}>
        <span className={css.name}>{name}</span>
        <span className={css.state}>
          <span className={css.word}>{text}</span>
          {job.started_at !== null && (
            <>
              {' · '}
              <Duration from={job.started_at} to={job.complete_at} />
            </>
          )}
        </span>
      </span>
    </>
  )
  return (
    <div className={css.job} data-status={status} data-waits={job.state === 'awaiting_approval' || undefined}>
      <JobLink
        job={job}
        className={css.entry}
        title={job.name}
        onFocus={onFocus}
        otherwise={
          <button
            type="button"
            className={css.entry}
            title={`${job.name}: to its row in the table`}
            onFocus={onFocus}
            onClick={() => document.getElementById(rowId(job))?.focus()}
          >
            {content}
          </button>
        }
      >
        {content}
      </JobLink>
    </div>
  )
}
