/** Where the boxes of a graph go: in columns, each box right of all that it needs. */

export interface Box {
  id: string
  /** Ids of the boxes that it needs. */
  needs: readonly string[]
  height: number
}

export interface Placed {
  /** From 0. */
  layer: number
  x: number
  y: number
}

/** Between boxes. */
export interface Gaps {
  width: number
  across: number
  down: number
}

/**
 * The column of each box: the length of the longest way to it. What needs itself, which no configuration can say, or
 * what is not there, is not counted.
 */
export function layersOf(boxes: readonly Pick<Box, 'id' | 'needs'>[]): Map<string, number> {
  const layers = new Map(boxes.map(({ id }) => [id, 0]))
  const open = new Map<string, number>()
  const neededBy = new Map<string, string[]>()
  for (const { id, needs } of boxes) {
    const real = [...new Set(needs)].filter((need) => need !== id && layers.has(need))
    open.set(id, real.length)
    for (const need of real) {
      const list = neededBy.get(need)
      if (list) list.push(id)
      else neededBy.set(need, [id])
    }
  }
  const ready = boxes.filter(({ id }) => open.get(id) === 0).map(({ id }) => id)
  // The list grows while it is walked.
  for (const id of ready) {
    for (const next of neededBy.get(id) ?? []) {
      layers.set(next, Math.max(layers.get(next) ?? 0, (layers.get(id) ?? 0) + 1))
      const left = (open.get(next) ?? 0) - 1
      open.set(next, left)
      if (left === 0) ready.push(next)
    }
  }
  return layers
}

/** Places boxes of one width. In its column, a box is near the middle of what it needs; columns are centred. */
export function layout(boxes: readonly Box[], { width, across, down }: Gaps): Map<string, Placed> {
  const layers = layersOf(boxes)
  const columns: Box[][] = []
  for (const box of boxes) {
    const layer = layers.get(box.id) ?? 0
    columns[layer] ??= []
    columns[layer].push(box)
  }
  const heightOf = (column: readonly Box[]) =>
    column.reduce((sum, box) => sum + box.height, 0) + down * (column.length - 1)
  const tallest = Math.max(0, ...columns.map(heightOf))
  const placed = new Map<string, Placed>()
  const middles = new Map<string, number>()
  columns.forEach((column, layer) => {
    const wish = (box: Box) => {
      const known = box.needs.map((need) => middles.get(need)).filter((y) => y !== undefined)
      return known.length > 0 ? known.reduce((sum, y) => sum + y, 0) / known.length : 0
    }
    // Stable: boxes with the same wish stay in the order of the definition.
    const ordered = column.map((box) => ({ box, at: wish(box) })).sort((a, b) => a.at - b.at)
    let y = (tallest - heightOf(column)) / 2
    for (const { box } of ordered) {
      placed.set(box.id, { layer, x: layer * (width + across), y })
      middles.set(box.id, y + box.height / 2)
      y += box.height + down
    }
  })
  return placed
}
