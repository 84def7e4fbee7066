/** Where the cell of each desktop is. Waves begin on a new line, each below its label or a gap. Lengths are CSS pixels. */

export interface WaveSpan {
  wave: number;
  first: number;
  size: number;
}

export interface WaveBlock extends WaveSpan {
  /** Top of the first line of cells. */
  top: number;
  lines: number;
}

export interface MapLayout {
  cell: number;
  columns: number;
  blocks: WaveBlock[];
  width: number;
  height: number;
  labelPx: number;
}

export const CELL_SIZES = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 26] as const;
const LABEL_PX = 22;
const GAP_PX = 4;
/** More waves than this have gaps instead of labels. */
const MAX_LABELS = 24;

export function layOut(waves: WaveSpan[], width: number, cell: number): MapLayout {
  const columns = Math.max(1, Math.floor(width / cell));
  const labelPx = waves.length <= MAX_LABELS ? LABEL_PX : GAP_PX;
  let top = 0;
  const blocks = waves.map((span) => {
    const lines = Math.ceil(span.size / columns);
    const block = { ...span, top: top + labelPx, lines };
    top = block.top + lines * cell + GAP_PX;
    return block;
  });
  return { cell, columns, blocks, width, height: top, labelPx };
}

/** The largest cells with which all waves fit into a height; the smallest size if none does. */
export function fitCell(waves: WaveSpan[], width: number, height: number, smallest = 1): number {
  for (let index = CELL_SIZES.length - 1; index >= 0; index -= 1) {
    const cell = CELL_SIZES[index] ?? 1;
    if (layOut(waves, width, cell).height <= height) return cell;
  }
  return smallest;
}

export function nextCell(cell: number, step: 1 | -1, smallest = 1): number {
  const sizes = smallest < 1 ? [smallest, ...CELL_SIZES] : [...CELL_SIZES];
  const index = sizes.findIndex((size) => size >= cell);
  return sizes[Math.max(0, Math.min(sizes.length - 1, (index < 0 ? sizes.length - 1 : index) + step))] ?? cell;
}

/** Ordinal of the cell at a point; -1 between cells. */
export function ordinalAt(layout: MapLayout, x: number, y: number): number {
  const column = Math.floor(x / layout.cell);
  if (column < 0 || column >= layout.columns) return -1;
  const block = blockAt(layout, y);
  if (!block) return -1;
  const line = Math.floor((y - block.top) / layout.cell);
  const offset = line * layout.columns + column;
  return line < 0 || line >= block.lines || offset >= block.size ? -1 : block.first + offset;
}

export function blockOf(layout: MapLayout, ordinal: number): WaveBlock | undefined {
  return search(layout.blocks, (block) => ordinal >= block.first);
}

function blockAt(layout: MapLayout, y: number): WaveBlock | undefined {
  return search(layout.blocks, (block) => y >= block.top - layout.labelPx);
}

/** Last element that fulfils a condition which holds for a beginning of the list. */
function search<T>(list: T[], holds: (item: T) => boolean): T | undefined {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const item = list[middle];
    if (item !== undefined && holds(item)) low = middle + 1;
    else high = middle;
  }
  return list[low - 1];
}

export interface Point {
  x: number;
  y: number;
}

/** Upper left corner of a desktop's cell. */
export function cellPoint(layout: MapLayout, ordinal: number): Point {
  const block = blockOf(layout, ordinal);
  if (!block) return { x: 0, y: 0 };
  const offset = ordinal - block.first;
  return {
    x: (offset % layout.columns) * layout.cell,
    y: block.top + Math.floor(offset / layout.columns) * layout.cell,
  };
}

export type Range = [from: number, to: number];

/** Inclusive ranges of the ordinals whose cells a rectangle touches, ascending. */
export function rangesIn(layout: MapLayout, a: Point, b: Point): Range[] {
  const left = Math.max(0, Math.floor(Math.min(a.x, b.x) / layout.cell));
  const right = Math.min(layout.columns - 1, Math.floor(Math.max(a.x, b.x) / layout.cell));
  const top = Math.min(a.y, b.y);
  const bottom = Math.max(a.y, b.y);
  const ranges: Range[] = [];
  if (left > right) return ranges;
  for (const block of layout.blocks) {
    const from = Math.max(0, Math.floor((top - block.top) / layout.cell));
    const to = Math.min(block.lines - 1, Math.floor((bottom - block.top) / layout.cell));
    for (let line = from; line <= to; line += 1) {
      const start = line * layout.columns + left;
      const end = Math.min(block.size - 1, line * layout.columns + right);
      if (start <= end) addRange(ranges, [block.first + start, block.first + end]);
    }
  }
  return ranges;
}

function addRange(ranges: Range[], next: Range): void {
  const last = ranges.at(-1);
  if (last && next[0] <= last[1] + 1) last[1] = Math.max(last[1], next[1]);
  else ranges.push(next);
}

export const countIn = (ranges: Range[]): number => ranges.reduce((total, [from, to]) => total + to - from + 1, 0);

/** Ranges as text for an address, `3-9,12`; `null` if they need more than `maxLength` characters. */
export function writeRanges(ranges: Range[], maxLength = 1_500): string | null {
  const text = ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
  return text.length <= maxLength ? text : null;
}

/** Reads `3-9,12`; parts that are no ranges within `size` are left out. */
export function readRanges(text: string, size: number): Range[] {
  const ranges: Range[] = [];
  for (const part of text.split(',')) {
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part);
    if (!match) continue;
    const from = Number(match[1]);
    const to = Math.min(size - 1, Number(match[2] ?? match[1]));
    if (from <= to) ranges.push([from, to]);
  }
  ranges.sort((a, b) => a[0] - b[0]);
  const merged: Range[] = [];
  for (const range of ranges) addRange(merged, range);
  return merged;
}
