import { describe, expect, it } from 'vitest'
import { path, queryString, siteRoot } from './base'

describe('addresses', () => {
  it.each([
    ['/', 'https://ci.example.org/'],
    ['/prefix/', 'https://ci.example.org/prefix/'],
    ['/a/b/index.html', 'https://ci.example.org/a/b/'],
  ])('finds the site root from %s', (pathname, root) => {
    expect(siteRoot({ origin: 'https://ci.example.org', pathname })).toBe(root)
  })

  it('encodes what is put into a path', () => {
    expect(path`builders/${'a/b c'}/builds/${7}`).toBe('builders/a%2Fb%20c/builds/7')
    expect(path`builders`).toBe('builders')
  })

  it('repeats list parameters and leaves out what is undefined', () => {
    expect(
      queryString({ order: ['-priority', 'submitted_at'], limit: 5, page: undefined, complete: false }),
    ).toBe('?order=-priority&order=submitted_at&limit=5&complete=false')
    expect(queryString({ page: undefined })).toBe('')
  })
})
