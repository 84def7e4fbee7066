/** Geometry of a list that shows a few of many rows. Browsers cap the height of an element near 16 million px. */

export const MAX_HEIGHT_PX = 8_000_000;

export interface ListGeometry {
  count: number;
  rowPx: number;
  viewportPx: number;
}

/** Height of the scrolled element: true up to the cap, scaled beyond it. */
export const spacerHeight = ({ count, rowPx }: ListGeometry): number => Math.min(count * rowPx, MAX_HEIGHT_PX);

const range = (total: number, viewportPx: number): number => Math.max(0, total - viewportPx);

/** Position in the list of true height for a position of the scroll bar. */
export function listTop(geometry: ListGeometry, scrollTop: number): number {
  const scrollable = range(spacerHeight(geometry), geometry.viewportPx);
  const total = range(geometry.count * geometry.rowPx, geometry.viewportPx);
  return scrollable === 0 ? 0 : Math.min(total, (scrollTop / scrollable) * total);
}

/** Position of the scroll bar for a position in the list. */
export function scrollTopFor(geometry: ListGeometry, top: number): number {
  const scrollable = range(spacerHeight(geometry), geometry.viewportPx);
  const total = range(geometry.count * geometry.rowPx, geometry.viewportPx);
  return total === 0 ? 0 : (Math.max(0, Math.min(total, top)) / total) * scrollable;
}

export const isScaled = ({ count, rowPx }: ListGeometry): boolean => count * rowPx > MAX_HEIGHT_PX;

/** Number of row elements that cover the viewport at every position. */
export const poolSize = ({ count, rowPx, viewportPx }: ListGeometry): number =>
  Math.min(count, Math.ceil(viewportPx / rowPx) + 2);

/** Row of pool element `slot`, so that each element keeps its row while the row is in the window. */
export function rowOfSlot(slot: number, first: number, pool: number): number {
  return first + ((((slot - first) % pool) + pool) % pool);
}
