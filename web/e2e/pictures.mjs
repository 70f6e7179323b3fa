// Takes the pictures in the documentation: `npm run pictures`, after `cargo build -p ironmaster -p ironmaster-worker`. With a folder
// as argument it takes one of every page, light, dark and narrow, as PNG: for looking at after a change.

import { mkdirSync, writeFileSync } from 'node:fs'
import * as path from 'node:path'
import { makeScene, pages } from './scene.mjs'
import { launch, logIn } from './site.mjs'

const WIDE = { width: 1280, height: 800 }
const NARROW = { width: 390, height: 844 }
const everything = process.argv[2]
const out = everything ?? path.resolve(import.meta.dirname, '../../docs/images')
/** What the documentation shows: page, file, look. */
const SHOWN = [
  ['overview', 'overview', { viewport: WIDE }],
  ['builder', 'builder', { viewport: WIDE }],
  ['build-failed', 'build', { viewport: WIDE }],
  ['build-running', 'build-running-dark', { viewport: WIDE, colorScheme: 'dark' }],
  ['force', 'force', { viewport: WIDE }],
  ['run', 'run', { viewport: WIDE }],
  ['overview', 'overview-narrow', { viewport: NARROW }],
]

const scene = await makeScene(1)
const all = pages(scene)
const looks = everything
  ? all.flatMap(([name]) => [
      [name, `${name}-light`, { viewport: WIDE }],
      [name, `${name}-dark`, { viewport: WIDE, colorScheme: 'dark' }],
      [name, `${name}-narrow`, { viewport: NARROW }],
    ])
  : SHOWN
mkdirSync(out, { recursive: true })
const browser = await launch()
try {
  const first = await browser.newPage()
  await logIn(first, scene.fleet)
  const storageState = await first.context().storageState()
  for (const [name, file, options] of looks) {
    const context = await browser.newContext({ ...options, storageState, reducedMotion: 'reduce' })
    const page = await context.newPage()
    const [, address, prepare] = all.find(([each]) => each === name)
    await page.goto(`${scene.fleet.root}#${address}`)
    await prepare(page)
    if (everything) await page.screenshot({ path: path.join(out, `${file}.png`) })
    else {
      // WebP: a fraction of a PNG's size, and the browser makes it.
      const protocol = await context.newCDPSession(page)
      const { data } = await protocol.send('Page.captureScreenshot', { format: 'webp', quality: 82 })
      writeFileSync(path.join(out, `${file}.webp`), Buffer.from(data, 'base64'))
    }
    await context.close()
  }
} finally {
  await browser.close()
  await scene.fleet.stop()
}
