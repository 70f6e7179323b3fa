// Every page, light and dark and on a telephone: no serious fault for people who use a screen reader or a keyboard,
// and nothing sticks out.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { makeScene, pages } from './scene.mjs'
import { accessibilityProblems, launch, logIn, overflow, visit } from './site.mjs'

let browser
let scene
before(async () => {
  ;[browser, scene] = await Promise.all([launch(), makeScene()])
})
after(async () => {
  await browser?.close()
  await scene?.fleet.stop()
})

for (const [name, options] of [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['narrow', { colorScheme: 'light', viewport: { width: 390, height: 844 } }],
]) {
  test(`every page, ${name}`, async (t) => {
    const page = await visit(t, browser, scene.fleet, '/', { ...options, reducedMotion: 'reduce' })
    await logIn(page, scene.fleet)
    const problems = []
    for (const [place, address, prepare] of pages(scene)) {
      await page.goto(`${scene.fleet.root}#${address}`)
      await prepare(page)
      const wide = await overflow(page)
      if (wide > 0) problems.push(`${place}: ${wide} px too wide`)
      for (const problem of await accessibilityProblems(page)) problems.push(`${place}: ${problem}`)
    }
    assert.deepEqual(problems, [])
  })
}
