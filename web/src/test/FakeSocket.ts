import type { SocketLike } from '../api/socket'

/** A server's end of an event socket, worked by a test. */
export class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null
  onclose: (() => void) | null = null
  onmessage: ((message: { data: unknown }) => void) | null = null
  readonly sent: { cmd: string; path?: string; _id: number }[] = []
  closed = false
  /** Answers commands at once; switched off to see what happens before the answer. */
  answers = true

  send(text: string): void {
    const command = JSON.parse(text)
    this.sent.push(command)
    if (this.answers) this.answer(command._id)
  }
  close(): void {
    this.closed = true
    this.onclose?.()
  }

  answer(id: number): void {
    this.onmessage?.({ data: JSON.stringify({ msg: 'OK', code: 200, _id: id }) })
  }
  event(key: string, item: unknown): void {
    this.onmessage?.({ data: JSON.stringify({ k: key, m: item }) })
  }
  topics(command = 'startConsuming'): (string | undefined)[] {
    return this.sent.filter(({ cmd }) => cmd === command).map(({ path }) => path)
  }
}
