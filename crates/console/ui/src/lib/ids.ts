/** Reads ids that a person pasted: from a mail, a spreadsheet, a JSON array or another tool. */

export interface IdList {
  /** Each id once, in the order of its first appearance. */
  ids: string[];
  /** Number of repetitions that were left out. */
  duplicates: number;
  /** Ids that appeared more than once, at most `MAX_NAMED`. */
  repeated: string[];
}

export const MAX_NAMED = 20;
/** Longest id that the API accepts, in characters. */
export const MAX_ID_LENGTH = 128;

// Commas and semicolons (also the wide ones), quotes, brackets, and marks that no one sees.
const MARKS = new Set([...',;，；、"\'`“”‘’[]{}()|\u{feff}\u{200b}\u{200c}\u{200d}\u{2060}\u{a0}\u{1680}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}'].map((mark) => mark.charCodeAt(0)));
const SPACE = 32;
const isLetterOrDigit = (code: number): boolean => (code >= 97 && code <= 122) || (code >= 48 && code <= 57) || (code >= 65 && code <= 90);
const isSeparator = (code: number): boolean =>
  !isLetterOrDigit(code) && (code <= SPACE || (code >= 0x2000 && code <= 0x200a) || MARKS.has(code));
const isLineEnd = (code: number): boolean => code === 10 || code === 13;
const HASH = 35;

/** Calls `found` with each word. One pass without regular expressions: a list may have a million ids. */
function eachWord(text: string, found: (word: string) => void): void {
  let start = -1;
  let isLineStart = true;
  for (let at = 0; at <= text.length; at++) {
    const code = at < text.length ? text.charCodeAt(at) : 10;
    if (isSeparator(code)) {
      if (start >= 0) found(text.slice(start, at));
      start = -1;
      if (isLineEnd(code)) isLineStart = true;
    } else if (start < 0) {
      if (isLineStart && code === HASH) {
        while (at + 1 < text.length && !isLineEnd(text.charCodeAt(at + 1))) at++;
      } else start = at;
      isLineStart = false;
    }
  }
}

export function parseIds(...texts: (string | readonly string[])[]): IdList {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  let total = 0;
  const add = (word: string) => {
    total++;
    const before = seen.size;
    seen.add(word);
    if (seen.size === before && repeated.size < MAX_NAMED) repeated.add(word);
  };
  for (const text of texts) {
    if (typeof text === 'string') eachWord(text, add);
    else for (const word of text) add(word);
  }
  return { ids: [...seen], duplicates: total - seen.size, repeated: [...repeated] };
}

/** Ids that a DESKTOP_NOT_FOUND message names: `resource_ids: desktops do not exist: a, b and 3 more`. */
export function unknownIds(message: string): string[] {
  const list = /do(?:es)? not exist: (.+)$/s.exec(message)?.[1];
  if (list === undefined) return [];
  return parseIds(list.replace(/\b(and|,)\s+[\d,]+ (more|others?)\b.*$/s, '')).ids;
}

/** Expands `3-9,12` of a link. Stops at `limit` ordinals. */
export function parseOrdinals(text: string, limit = 1_000_000): Set<number> {
  const ordinals = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part.trim());
    if (!match) continue;
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    for (let ordinal = first; ordinal <= last && ordinals.size < limit; ordinal++) ordinals.add(ordinal);
  }
  return ordinals;
}
