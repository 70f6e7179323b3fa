import { useEffect, useState } from 'react'
import { Button } from '../components/Button'
import { formatRange, type LineRange } from './window'

/** Copies the address of the selected lines. */
export function CopyLink({ url, range }: { url: string; range: LineRange }) {
  const [copied, setCopied] = useState<boolean>()
  useEffect(() => {
    if (copied === undefined) return
    const timer = setTimeout(() => setCopied(undefined), 2000)
    return () => clearTimeout(timer)
  }, [copied])
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(url)
      setCopied(true)
    } catch {
      // Without https there is no clipboard; the address bar has the same link.
      setCopied(false)
    }
  }
  const text =
    copied === undefined
      ? `Copy link to ${formatRange(range)}`
      : copied
        ? 'Copied'
        : 'Copy it from the address bar'
  return (
    <Button small onClick={() => void copy()} title={url}>
      <span aria-live="polite">{text}</span>
    </Button>
  )
}
