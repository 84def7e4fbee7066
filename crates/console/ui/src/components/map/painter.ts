import { isFailure } from '../../lib/map-codes';
import { blockOf, cellPoint, type MapLayout, type Range } from '../../lib/map-layout';

export interface Palette {
  /** Colour of each code as a pixel (ABGR). */
  cells: Uint32Array;
  ground: number;
  /** Colours of failure groups; index 0 is a desktop of no group. */
  groups: Uint32Array;
  selection: string;
  cursor: string;
  mark: string;
}

export interface Picture {
  codes: Uint8Array;
  layout: MapLayout;
  /** Position of the window, in CSS pixels. */
  top: number;
  /** Width and height of the window in device pixels. */
  width: number;
  height: number;
  ratio: number;
  palette: Palette;
  /** Failure group of each desktop, 0 without one; `null` colours by state. */
  groups: Uint8Array | null;
}

/** Cells of at least this size show marks beside their colours. */
export const MARK_CELL_PX = 10;
/** Failures of smaller cells are drawn larger than their cells, unless there are very many. */
const EMPHASIS_CELL_PX = 6;
const MAX_EMPHASIS = 20_000;

interface Sizes {
  step: number;
  fill: number;
}

/** Lengths of a cell in device pixels: distance of two cells, and the coloured part. */
export function cellSizes(cell: number, ratio: number): Sizes {
  const step = Math.max(1, cell * ratio);
  const gap = cell >= 6 ? Math.max(1, Math.round(ratio)) : cell >= 3 ? 1 : 0;
  return { step, fill: Math.max(1, Math.round(step) - gap) };
}

/** Paints the visible cells into pixels. One line of pixels is painted for each line of cells, and then copied. */
export function paintCells(pixels: Uint32Array, picture: Picture): void {
  const { layout, top, width, height, ratio, palette } = picture;
  pixels.fill(palette.ground);
  const { step, fill } = cellSizes(layout.cell, ratio);
  const bottom = top + height / ratio;
  for (const block of layout.blocks) {
    if (block.top > bottom || block.top + block.lines * layout.cell < top) continue;
    const from = Math.max(0, Math.floor((top - block.top) / layout.cell));
    const to = Math.min(block.lines - 1, Math.ceil((bottom - block.top) / layout.cell));
    for (let line = from; line <= to; line += 1) {
      const y = Math.round((block.top + line * layout.cell - top) * ratio);
      const first = block.first + line * layout.columns;
      const count = Math.min(layout.columns, block.size - line * layout.columns);
      paintLine(pixels, picture, { y, first, count, step, fill });
      copyLine(pixels, width, height, y, fill);
    }
  }
  if (layout.cell < EMPHASIS_CELL_PX && picture.groups === null) emphasiseFailures(pixels, picture);
}

interface Line extends Sizes {
  y: number;
  first: number;
  count: number;
}

/** Paints the top line of pixels of a line of cells; above the window it paints the window's first line. */
function paintLine(pixels: Uint32Array, { codes, groups, palette, width, height }: Picture, line: Line): void {
  const y = Math.max(0, line.y);
  if (y >= height || line.y + line.fill <= 0) return;
  const start = y * width;
  const { first, count, step, fill } = line;
  if (step === 1 && groups === null) {
    const { cells } = palette;
    for (let column = 0; column < count; column += 1) pixels[start + column] = cells[codes[first + column] ?? 0] ?? 0;
    return;
  }
  for (let column = 0; column < count; column += 1) {
    const ordinal = first + column;
    const color = groups === null ? palette.cells[codes[ordinal] ?? 0] : palette.groups[groups[ordinal] ?? 0];
    const x = Math.round(column * step);
    if (fill === 1) pixels[start + x] = color ?? 0;
    else pixels.fill(color ?? 0, start + x, start + Math.min(width, x + fill));
  }
}

function copyLine(pixels: Uint32Array, width: number, height: number, y: number, fill: number): void {
  const source = Math.max(0, y);
  const end = Math.min(height, y + fill);
  for (let line = source + 1; line < end; line += 1) {
    pixels.copyWithin(line * width, source * width, (source + 1) * width);
  }
}

function emphasiseFailures(pixels: Uint32Array, picture: Picture): void {
  const { codes, layout, width, height, ratio, top, palette } = picture;
  const size = Math.round(EMPHASIS_CELL_PX * ratio);
  const failures: number[] = [];
  for (const [from, to] of visibleRanges(layout, top, top + height / ratio)) {
    for (let ordinal = from; ordinal <= to; ordinal += 1) {
      if (isFailure(codes[ordinal] ?? 0) && failures.push(ordinal) > MAX_EMPHASIS) return;
    }
  }
  for (const ordinal of failures) {
    const point = cellPoint(layout, ordinal);
    const left = Math.max(0, Math.min(width - size, Math.round((point.x + layout.cell / 2) * ratio - size / 2)));
    const from = Math.round((point.y + layout.cell / 2 - top) * ratio - size / 2);
    for (let y = Math.max(0, from); y < Math.min(height, from + size); y += 1) {
      pixels.fill(palette.cells[codes[ordinal] ?? 0] ?? 0, y * width + left, y * width + left + size);
    }
  }
}

/** Ordinals of the lines of cells that a window shows. */
export function visibleRanges(layout: MapLayout, top: number, bottom: number): Range[] {
  const ranges: Range[] = [];
  for (const block of layout.blocks) {
    const from = Math.max(0, Math.floor((top - block.top) / layout.cell));
    const to = Math.min(block.lines - 1, Math.ceil((bottom - block.top) / layout.cell));
    if (to < from) continue;
    const last = block.first + Math.min(block.size, (to + 1) * layout.columns) - 1;
    ranges.push([block.first + from * layout.columns, last]);
  }
  return ranges;
}

/** Draws what lies over the cells: marks of failures, the selection and the cursor. Coordinates are CSS pixels. */
export function drawOverlay(
  context: CanvasRenderingContext2D,
  picture: Picture,
  selection: readonly Range[],
  cursor: number,
): void {
  const { layout, top, ratio, height, palette } = picture;
  const bottom = top + height / ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, -top * ratio);
  if (layout.cell >= MARK_CELL_PX) drawMarks(context, picture, bottom);
  context.fillStyle = palette.selection;
  for (const [from, to] of selection) fillRange(context, layout, from, to, top, bottom);
  if (cursor >= 0) {
    const { x, y } = cellPoint(layout, cursor);
    const grow = layout.cell < 6 ? 3 : 1;
    context.strokeStyle = palette.cursor;
    context.lineWidth = 2;
    context.strokeRect(x - grow, y - grow, layout.cell + 2 * grow - 1, layout.cell + 2 * grow - 1);
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
}

function drawMarks(context: CanvasRenderingContext2D, { codes, layout, top, palette }: Picture, bottom: number): void {
  const inset = layout.cell * 0.3;
  const size = layout.cell - 1;
  context.strokeStyle = palette.mark;
  context.lineWidth = Math.max(1.25, layout.cell / 11);
  context.beginPath();
  for (const [from, to] of visibleRanges(layout, top, bottom)) {
    for (let ordinal = from; ordinal <= to; ordinal += 1) {
      const code = codes[ordinal] ?? 0;
      if (code !== 2 && code !== 1 && !isFailure(code)) continue;
      const { x, y } = cellPoint(layout, ordinal);
      const [a, b, c, d] = [x + inset, y + inset, x + size - inset, y + size - inset];
      if (isFailure(code)) {
        context.moveTo(a, b);
        context.lineTo(c, d);
        context.moveTo(c, b);
        context.lineTo(a, d);
      } else if (code === 2) {
        context.moveTo(x + size * 0.38, b);
        context.lineTo(c, y + size / 2);
        context.lineTo(x + size * 0.38, d);
      } else {
        context.moveTo(a, y + size / 2);
        context.lineTo(c, y + size / 2);
      }
    }
  }
  context.stroke();
}

function fillRange(
  context: CanvasRenderingContext2D,
  layout: MapLayout,
  from: number,
  to: number,
  top: number,
  bottom: number,
): void {
  const block = blockOf(layout, from);
  if (!block) return;
  const { cell, columns } = layout;
  const last = Math.min(to, block.first + block.size - 1);
  for (let start = from; start <= last; ) {
    const offset = start - block.first;
    const end = Math.min(last, block.first + (Math.floor(offset / columns) + 1) * columns - 1);
    const y = block.top + Math.floor(offset / columns) * cell;
    if (y > bottom) break;
    if (y + cell >= top) context.fillRect((offset % columns) * cell, y, (end - start + 1) * cell, cell);
    start = end + 1;
  }
  if (last < to) fillRange(context, layout, last + 1, to, top, bottom);
}
