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

// Blanks of every script, line ends, commas and semicolons (also the wide ones), quotes, brackets; BOM and joiners.
const SEPARATORS = /[\s,;，；、"'`“”‘’[\]{}()|\u{feff}\u{200b}-\u{200d}\u{2060}]+/u;
const COMMENT = /^[\s\u{feff}]*#.*$/gmu;

export function parseIds(...texts: (string | readonly string[])[]): IdList {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  let total = 0;
  for (const text of texts) {
    const words = typeof text === 'string' ? text.replace(COMMENT, '').split(SEPARATORS) : text;
    for (const word of words) {
      if (word === '') continue;
      total++;
      if (seen.has(word)) {
        if (repeated.size < MAX_NAMED) repeated.add(word);
      } else seen.add(word);
    }
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
