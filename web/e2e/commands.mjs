// Commands of the builds in these tests. A gated command goes on when the test says so (`fleet.openGate`), so that
// nothing depends on how fast a machine is.

/** Shell code that waits for a gate. */
export const gate = (name) => `until [ -e "$GATES/gate-${name}" ]; do sleep 0.05; done`

/** A step as a section of the configuration. */
export const step = (name, command, lines = '') =>
  `[[builder.step]]\ntype = "shell"\nname = "${name}"\ncommand = ${JSON.stringify(command)}\n${lines}\n`

export const builder = (name, steps, lines = '') =>
  `[[builder]]\nname = "${name}"\nworkers = ["*"]\n${lines}\n${steps.join('')}`

export const button = (name, builders, lines = '') =>
  `[[scheduler]]\nname = "${name}"\ntype = "force"\nbuilders = ${JSON.stringify(builders)}\n${lines}\n`
