import { Link } from '@tanstack/react-router'
import { path } from '../api/base'
import { call } from '../api/client'
import type { BuildRequest } from '../api/types'
import { useControl } from '../auth/session'
import { personName } from '../lib/format'
import { useBuilders } from '../lib/names'
import { textProperty } from '../lib/properties'
import css from './BuildTable.module.css'
import { Button } from './Button'
import { Ago } from './Time'

/** A table of requests that wait to be built. */
export function RequestTable({ requests }: { requests: readonly BuildRequest[] }) {
  const builders = useBuilders()
  const cancel = useControl(
    'cancel the request',
    (id: number) => call(path`buildrequests/${id}`, 'cancel', { reason: 'cancelled in the web UI' }),
    { done: 'The request is cancelled.' },
  )
  return (
    <table className={css.table}>
      <caption className="visually-hidden">Pending requests, in the order in which they are taken</caption>
      <thead>
        <tr>
          <th className={css.build}>Builder</th>
          <th className={css.request}>Request</th>
          <th>Reason</th>
          <th className={`${css.took} ${css.optional}`}>Priority</th>
          <th className={css.when}>Waiting since</th>
          <th className={css.action}>
            <span className="visually-hidden">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {requests.map((request) => {
          const id = request.buildrequestid
          const reason =
            textProperty(request.properties, 'reason') ?? textProperty(request.properties, 'scheduler')
          const owner = textProperty(request.properties, 'owner')
          return (
            <tr key={id}>
              <td className={css.build}>
                <Link to="/builders/$builder" params={{ builder: String(request.builderid) }}>
                  {builders.name(request.builderid)}
                </Link>
              </td>
              <td className={css.request}>
                <Link to="/buildrequests/$request" params={{ request: String(id) }} className={css.hash}>
                  {id}
                </Link>
              </td>
              <td className={css.what}>
                {reason}
                {reason && owner && ' · '}
                {owner && personName(owner)}
              </td>
              <td className={`${css.took} ${css.optional}`}>{request.priority}</td>
              <td className={css.when}>
                <Ago at={request.submitted_at} />
              </td>
              <td className={css.action}>
                <Button
                  small
                  kind="quiet"
                  busy={cancel.isPending && cancel.variables === id}
                  onClick={() => cancel.mutate(id)}
                  aria-label={`Cancel request ${id}`}
                >
                  Cancel
                </Button>
              </td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}
