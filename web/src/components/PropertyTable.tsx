import { useState } from 'react'
import type { Properties } from '../api/types'
import { showValue } from '../lib/properties'
import css from './PropertyTable.module.css'
import { Empty } from './States'

/** Properties by name, with where each came from. */
export function PropertyTable({ properties }: { properties: Properties }) {
  const [filter, setFilter] = useState('')
  const rows = Object.entries(properties).sort(([a], [b]) => (a < b ? -1 : 1))
  if (rows.length === 0) return <Empty title="This build has no properties" />
  const shown = rows.filter(([name, [value]]) =>
    `${name}\n${showValue(value)}`.toLowerCase().includes(filter.toLowerCase()),
  )
  return (
    <>
      <search className={css.filter}>
        <input
          type="search"
          placeholder="Filter properties"
          aria-label="Filter properties"
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
      </search>
      <table className={css.table}>
        <thead>
          <tr>
            <th>Name</th>
            <th>Value</th>
            <th>Source</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(([name, [value, source]]) => (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
              </th>
              <td>
                <pre className={css.value}>{showValue(value)}</pre>
              </td>
              <td className={css.source}>{source}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length === 0 && <Empty title="No property matches" />}
    </>
  )
}
