import { describe, expect, it } from 'vitest'
import { CUT, splitLines } from '../api/loglines'
import { capture } from '../test/captures'
import { columns, cutSpans, findLinks, markSpans, parseSpans, plainText, splitStream } from './line'

const E = '\u001b'
const texts = (text: string) => parseSpans(text).map((span) => span.text)

describe('streams', () => {
  it('reads the recorded log', () => {
    const content =
      (capture('log-contents').body as { logchunks: { content: string }[] }).logchunks[0]?.content ?? ''
    const lines = splitLines(content).map((raw) => splitStream(raw, 's'))
    expect(lines).toHaveLength(20)
    expect(lines.find(({ stream }) => stream === 'e')?.text).toBe('err1')
    expect(lines.filter(({ stream }) => stream === 'o').map(({ text }) => text)).toEqual([
      'out1',
      'out2',
      'partial',
    ])
    expect(lines[0]?.stream).toBe('h')
  })

  it('knows a line of which only the beginning is here', () => {
    expect(splitStream(`elong${CUT}`, 's')).toEqual({ stream: 'e', text: 'long', cut: true })
    expect(plainText(`elong${CUT}`, 's')).toBe('long')
  })

  it('takes no letter from logs that have none', () => {
    expect(splitStream('error', 't')).toEqual({ stream: 'o', text: 'error', cut: false })
  })

  it('loses nothing of a line without a known letter', () => {
    expect(splitStream('?x', 's').text).toBe('?x')
    expect(splitStream('', 's').text).toBe('')
  })
})

describe('colours', () => {
  it('leaves plain text alone', () => {
    expect(parseSpans('a < b & c')).toEqual([{ text: 'a < b & c', classes: [] }])
    expect(parseSpans('')).toEqual([])
  })

  it('names the basic and bright colours and decorations', () => {
    const spans = parseSpans(`${E}[1m${E}[31merror${E}[0m: x ${E}[92;44my${E}[m`)
    expect(spans.map(({ text, classes }) => [text, ...classes])).toEqual([
      ['error', 'fg-red', 'bold'],
      [': x '],
      ['y', 'fg-bright-green', 'bg-blue'],
    ])
  })

  it('computes palette and 24-bit colours', () => {
    expect(parseSpans(`${E}[38;5;208mx`)[0]?.color).toBe('rgb(255, 135, 0)')
    expect(parseSpans(`${E}[38;5;244mx`)[0]?.color).toBe('rgb(128, 128, 128)')
    expect(parseSpans(`${E}[48;2;1;2;3mx`)[0]?.background?.replaceAll(' ', '')).toBe('rgb(1,2,3)')
  })

  it('removes every other escape sequence', () => {
    expect(texts(`${E}[2K${E}[1Gdone${E}[?25h`)).toEqual(['done'])
    expect(texts(`${E}]8;;https://example.org${E}\\link${E}]8;;${E}\\ end`).join('')).toBe('link end')
    expect(texts(`${E}]0;title\u0007text`).join('')).toBe('text')
    expect(texts(`${E}(Bx`).join('')).toBe('x')
  })

  it('survives broken sequences without showing control characters', () => {
    for (const text of [
      `${E}`,
      `${E}[`,
      `${E}[38;5m`,
      `a${E}[9999mb`,
      `${E}]8;;never ended`,
      'a\u0000b\u0008c',
    ]) {
      const shown = texts(text).join('')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that is the point
      expect(shown).not.toMatch(/[\x00-\x08\x0b-\x1f]/)
    }
  })

  it('shows what a progress display wrote last', () => {
    expect(plainText('o 10 %\r 50 %\r100 %', 's')).toBe('100 %')
    expect(plainText('oall\r', 's')).toBe('all')
  })

  it('searches and shows the same text', () => {
    const raw = `e${E}[1m${E}[33mwarning${E}[0m: unused ${E}]8;;u${E}\\x${E}]8;;${E}\\`
    expect(plainText(raw, 's')).toBe('warning: unused x')
    expect(texts(splitStream(raw, 's').text).join('')).toBe(plainText(raw, 's'))
  })
})

describe('long and wide lines', () => {
  it('are cut, and say by how much', () => {
    const { spans, rest } = cutSpans(parseSpans(`${E}[31m${'a'.repeat(30)}${E}[0m${'b'.repeat(100)}`), 50)
    expect(spans.map(({ text }) => text.length)).toEqual([30, 20])
    expect(rest).toBe(80)
    expect(cutSpans(parseSpans('short'), 50).rest).toBe(0)
  })

  it('counts tabs to the next stop', () => {
    expect(columns('a\tb')).toBe(9)
    expect(columns('12345678\tb')).toBe(17)
  })
})

describe('marks', () => {
  it('cross the borders of colours', () => {
    const spans = parseSpans(`${E}[31mabc${E}[0mdef`)
    expect(markSpans(spans, [[2, 5]]).map(({ text, marked }) => [text, marked])).toEqual([
      ['ab', false],
      ['c', true],
      ['de', true],
      ['f', false],
    ])
  })

  it('keep the whole text', () => {
    const spans = parseSpans('hello world')
    const pieces = markSpans(spans, [
      [0, 2],
      [4, 5],
      [10, 11],
    ])
    expect(pieces.map(({ text }) => text).join('')).toBe('hello world')
    expect(pieces.filter(({ marked }) => marked).map(({ text }) => text)).toEqual(['he', 'o', 'd'])
  })
})

describe('addresses in lines', () => {
  it('end before punctuation', () => {
    const text = 'see https://example.org/a?b=1#c, (http://x.example). ftp://no'
    expect(findLinks(text).map(([a, b]) => text.slice(a, b))).toEqual([
      'https://example.org/a?b=1#c',
      'http://x.example',
    ])
  })
  it('are web addresses only', () => {
    expect(findLinks('javascript:alert(1) file:///etc/passwd')).toEqual([])
  })
})
