import { mkdirSync } from 'node:fs'
import { makeScene, pages } from './scene.mjs'
import { accessibilityProblems, launch, overflow } from './site.mjs'

const out = '/tmp/ui-look'
mkdirSync(out, { recursive: true })
const only = process.argv[2]?.split(',')
const scene = await makeScene()
const browser = await launch()
try {
  for (const [theme, viewport] of [
    ['light', { width: 1280, height: 800 }],
    ['dark', { width: 1280, height: 800 }],
    ['narrow', { width: 390, height: 844 }],
  ]) {
    const context = await browser.newContext({
      viewport,
      colorScheme: theme === 'dark' ? 'dark' : 'light',
      reducedMotion: 'reduce',
    })
    const first = await context.newPage()
    await first.goto(scene.fleet.loginLink())
    await first.getByText('You are logged in.').waitFor()
    await first.close()
    for (const [name, address, prepare] of pages(scene)) {
      if (only && !only.includes(name)) continue
      const page = await context.newPage()
      page.on('console', (m) => {
        if (m.type() === 'error') console.log(theme, name, 'console', m.text())
      })
      page.on('pageerror', (e) => console.log(theme, name, 'ERROR', e.message))
      await page.goto(`${scene.fleet.root}#${address}`)
      await page.locator('h1').first().waitFor()
      try {
        page.setDefaultTimeout(8000)
        await prepare?.(page)
      } catch (e) {
        console.log(theme, name, e.message.split('\n')[0])
      }
      await page.waitForTimeout(400)
      await page.screenshot({ path: `${out}/${name}-${theme}.png` })
      const wide = await overflow(page)
      if (wide > 0) console.log(theme, name, 'too wide', wide)
      for (const p of await accessibilityProblems(page)) console.log(theme, name, 'axe', p)
      await page.close()
    }
    await context.close()
  }
} finally {
  await browser.close()
  await scene.fleet.stop()
}
