// One browser and one fleet for the tests of a file.

import { after, before } from 'node:test'
import { Fleet, workerSection } from './fleet.mjs'
import { launch, visit } from './site.mjs'

/** `start` makes the fleet. The object that comes back is filled in before the first test. */
export function suite(start) {
  const site = {}
  before(async () => {
    ;[site.browser, site.fleet] = await Promise.all([launch(), start()])
    site.visit = (t, address, options) => visit(t, site.browser, site.fleet, address, options)
  })
  after(async () => {
    await site.browser?.close()
    await site.fleet?.stop()
  })
  return site
}

/** A master with one worker that has four slots. */
export async function oneWorker(sections, settings) {
  const fleet = await Fleet.make([workerSection('shed', 'slots = 4'), ...sections].join('\n'), settings)
  await fleet.startMaster()
  await fleet.startWorker('shed')
  return fleet
}
