import { Link } from '@tanstack/react-router'
import type { Run } from '../api/types'
import css from './RunProblem.module.css'

/** What is wrong with the jobs of a run that stand in its repository; nothing if they are good. */
export function RunProblem({ run, link = false }: { run: Run; link?: boolean }) {
  const problem = run.source?.problem
  if (!problem) return null
  return (
    <section className={css.problem} aria-label={`What is wrong with the jobs of run ${run.runid}`}>
      <p>
        {link && (
          <>
            <Link to="/runs/$run" params={{ run: String(run.runid) }}>
              {run.pipeline} #{run.runid}
            </Link>
            {': '}
          </>
        )}
        {problem.summary}
      </p>
      {problem.text && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what is wider than the page is scrolled with the keys
        <pre tabIndex={0}>{problem.text}</pre>
      )}
    </section>
  )
}
