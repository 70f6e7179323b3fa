/** Jobs and what they need as a graph. Loaded only where it is needed: what draws it is large. */

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
import { type FocusEvent, type ReactNode, useMemo } from 'react'
import { layout } from '../lib/layers'
import { type GraphJob, groupJobs, type JobGroup, shortName } from '../lib/runs'
import css from './JobGraph.module.css'

const WIDTH = 236
const GAPS = { width: WIDTH, across: 56, down: 18 }
/** As in the style sheet: a job, a heading of a group, and what is around both. */
const ROW = 46
const HEADING = 28
const FRAME = 2
const heightOf = ({ jobs }: JobGroup<GraphJob>) => FRAME + jobs.length * ROW + (jobs.length > 1 ? HEADING : 0)
/** The graph is as high as its boxes, within limits. */
const LEAST = 170
const MOST = 520
const MARGIN = 24

/** What a box shows of a job. It tells when somebody comes there with the keyboard. */
export type Entry<J> = (props: { job: J; name: string; onFocus: (event: FocusEvent) => void }) => ReactNode

type Row = (onFocus: (event: FocusEvent) => void) => ReactNode
type GroupNode = Node<{ name: string; rows: readonly Row[] }, 'group-of-jobs'>
const TYPES = { 'group-of-jobs': GroupBox }

interface Props<J extends GraphJob> {
  jobs: readonly J[]
  /** One and the same function each time. */
  entry: Entry<J>
  /** What it is a graph of. */
  label: string
}

export function JobGraph<J extends GraphJob>({ jobs, entry, label }: Props<J>) {
  const { nodes, edges, height } = useMemo(() => graph(jobs, entry), [jobs, entry])
  // Anew when boxes come or go, so that all of them are in view.
  const shape = nodes.map(({ id, height }) => `${id} ${height}`).join('\n')
  return (
    <section
      className={css.graph}
      style={{ height: Math.min(MOST, Math.max(LEAST, height + 2 * MARGIN)) }}
      aria-label={label}
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
function graph<J extends GraphJob>(jobs: readonly J[], entry: Entry<J>) {
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
      data: { name: id, rows: rowsOf(group, entry) },
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

function rowsOf<J extends GraphJob>({ jobs }: JobGroup<J>, entry: Entry<J>): Row[] {
  const Show = entry
  return jobs.map((job) => (onFocus) => (
    <Show key={job.number} job={job} name={jobs.length > 1 ? shortName(job) : job.name} onFocus={onFocus} />
  ))
}

function GroupBox({ id, data: { name, rows } }: NodeProps<GroupNode>) {
  const flow = useReactFlow()
  /** Somebody who goes from job to job with the keyboard sees where they are. */
  const show = (event: FocusEvent) => {
    if (event.target.matches(':focus-visible'))
      void flow.fitView({ nodes: [{ id }], maxZoom: 1, minZoom: Math.min(1, flow.getZoom()) })
  }
  return (
    <>
      <Handle type="target" position={Position.Left} isConnectable={false} className={css.handle} />
      <div className={`${css.box} nopan`} data-many={rows.length > 1 || undefined}>
        {rows.length > 1 && (
          <div className={css.heading}>
            {name} <span className={css.count}>{rows.length}</span>
          </div>
        )}
        {rows.map((row) => row(show))}
      </div>
      <Handle type="source" position={Position.Right} isConnectable={false} className={css.handle} />
    </>
  )
}
