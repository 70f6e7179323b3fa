import { describe, expect, it } from 'vitest'
import { layersOf, layout } from './layers'

const box = (id: string, needs: string[] = [], height = 40) => ({ id, needs, height })
const GAPS = { width: 100, across: 20, down: 10 }

describe('layers of a graph', () => {
  it('are the length of the longest way', () => {
    const layers = layersOf([
      box('deploy', ['test', 'compile']),
      box('compile'),
      box('test', ['compile']),
      box('docs'),
      box('tell', ['deploy', 'docs']),
    ])
    expect(Object.fromEntries(layers)).toEqual({ compile: 0, docs: 0, test: 1, deploy: 2, tell: 3 })
  })

  it('do not count twice what is needed twice, nor what is not there', () => {
    const layers = layersOf([box('a'), box('b', ['a', 'a', 'elsewhere']), box('c', ['b', 'a'])])
    expect(Object.fromEntries(layers)).toEqual({ a: 0, b: 1, c: 2 })
  })

  it('exist also for what needs itself', () => {
    const layers = layersOf([box('a', ['a']), box('b', ['c', 'a']), box('c', ['b']), box('d', ['a'])])
    expect([...layers.keys()]).toEqual(['a', 'b', 'c', 'd'])
    expect(layers.get('a')).toBe(0)
    expect(layers.get('d')).toBe(1)
  })

  it('are found for a chain of ten thousand', () => {
    const chain = Array.from({ length: 10_000 }, (_, i) => box(`${i}`, i > 0 ? [`${i - 1}`] : []))
    expect(layersOf(chain.reverse()).get('9999')).toBe(9999)
  })
})

describe('the layout', () => {
  it('puts each box right of all that it needs', () => {
    const boxes = [box('a'), box('b', ['a']), box('c', ['a']), box('d', ['b', 'c']), box('e', ['a', 'd'])]
    const places = layout(boxes, GAPS)
    for (const { id, needs } of boxes)
      for (const need of needs)
        expect(places.get(id)?.x).toBeGreaterThanOrEqual(
          (places.get(need)?.x ?? 0) + GAPS.width + GAPS.across,
        )
  })

  it('lets no two boxes of a column overlap, and centres the columns', () => {
    const places = layout([box('a', [], 100), box('b'), box('c', ['a'])], GAPS)
    expect(places.get('a')).toEqual({ layer: 0, x: 0, y: 0 })
    expect(places.get('b')).toEqual({ layer: 0, x: 0, y: 110 })
    expect(places.get('c')).toEqual({ layer: 1, x: 120, y: 55 })
  })

  it('puts a box near what it needs', () => {
    const places = layout([box('top'), box('bottom'), box('x', ['bottom']), box('y', ['top'])], GAPS)
    expect(places.get('y')?.y).toBeLessThan(places.get('x')?.y ?? 0)
  })

  it('of nothing is nothing', () => {
    expect(layout([], GAPS).size).toBe(0)
  })
})
