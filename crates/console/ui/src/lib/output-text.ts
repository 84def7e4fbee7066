/** Output of scripts as lines of plain text: escape sequences and overwritten parts are left out. */

// CSI, OSC and two-character sequences.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
// Control characters but tab, and marks that reverse or hide text.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

export const MAX_LINE_CHARACTERS = 8_000;

export function cleanLine(raw: string): string {
  const withoutEscapes = raw.replace(ESCAPES, '');
  const overwritten = withoutEscapes.replace(/\r+$/, '');
  const text = overwritten.slice(overwritten.lastIndexOf('\r') + 1).replace(HIDDEN, '');
  return text.length > MAX_LINE_CHARACTERS ? `${text.slice(0, MAX_LINE_CHARACTERS)} …` : text;
}

/** Collects output in parts of any size; the last line stays open. */
export class OutputLines {
  readonly lines: string[] = [];
  private open = '';

  append(part: string): void {
    const pieces = (this.open + part).split('\n');
    if (this.hasOpenLine) this.lines.pop();
    this.open = pieces.pop() ?? '';
    for (const piece of pieces) this.lines.push(cleanLine(piece));
    if (this.hasOpenLine) this.lines.push(cleanLine(this.open));
    // An endless line without an end would be cleaned again with each part.
    if (this.open.length > 4 * MAX_LINE_CHARACTERS) this.open = this.open.slice(0, 2 * MAX_LINE_CHARACTERS);
  }

  /** Marks bytes that are missing between two parts. */
  gap(text: string): void {
    this.append(this.open === '' ? `${text}\n` : `\n${text}\n`);
  }

  private get hasOpenLine(): boolean {
    return this.open !== '';
  }
}

export interface Match {
  line: number;
  from: number;
  to: number;
}

const MAX_MATCHES = 10_000;

/** Places of a text in any case of letters. */
export function findMatches(lines: readonly string[], wanted: string): Match[] {
  const needle = wanted.toLowerCase();
  const matches: Match[] = [];
  if (needle === '') return matches;
  for (let line = 0; line < lines.length; line += 1) {
    const text = (lines[line] ?? '').toLowerCase();
    for (let from = text.indexOf(needle); from >= 0; from = text.indexOf(needle, from + needle.length)) {
      matches.push({ line, from, to: from + needle.length });
      if (matches.length === MAX_MATCHES) return matches;
    }
  }
  return matches;
}

export interface Piece {
  text: string;
  match: number;
}

/** A line cut at its matches; `match` is the number of the match, or -1. */
export function cutLine(text: string, line: number, matches: readonly Match[]): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (let number = firstMatchOf(matches, line); matches[number]?.line === line; number += 1) {
    const match = matches[number] as Match;
    if (match.from > at) pieces.push({ text: text.slice(at, match.from), match: -1 });
    pieces.push({ text: text.slice(match.from, match.to), match: number });
    at = match.to;
  }
  if (at < text.length || pieces.length === 0) pieces.push({ text: text.slice(at), match: -1 });
  return pieces;
}

function firstMatchOf(matches: readonly Match[], line: number): number {
  let low = 0;
  let high = matches.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((matches[middle]?.line ?? 0) < line) low = middle + 1;
    else high = middle;
  }
  return low;
}
