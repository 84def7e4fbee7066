import { describe, expect, test } from 'vitest';

import { cellPoint, countIn, fitCell, layOut, nextCell, ordinalAt, rangesIn, readRanges, writeRanges } from '../../src/lib/map-layout';
import { listTop, MAX_HEIGHT_PX, poolSize, rowOfSlot, scrollTopFor, spacerHeight } from '../../src/lib/scroll-window';
import { stableOrder } from '../../src/lib/stable-order';

const waves = [
  { wave: 1, first: 0, size: 5 },
  { wave: 2, first: 5, size: 95 },
];

describe('map layout', () => {
  test('each_cell_is_found_at_its_own_point', () => {
    const layout = layOut(waves, 125, 12);
    for (let ordinal = 0; ordinal < 100; ordinal += 1) {
      const { x, y } = cellPoint(layout, ordinal);
      expect(ordinalAt(layout, x + 6, y + 6)).toBe(ordinal);
    }
  });

  test('point_between_waves_has_no_cell', () => {
    const layout = layOut(waves, 125, 12);
    expect(ordinalAt(layout, 4, 4)).toBe(-1);
    expect(ordinalAt(layout, 12 * 7, 24)).toBe(-1);
    expect(ordinalAt(layout, 4, layout.height + 50)).toBe(-1);
  });

  test('cells_shrink_until_all_waves_fit', () => {
    expect(fitCell([{ wave: 1, first: 0, size: 20 }], 900, 500)).toBe(26);
    const million = [{ wave: 1, first: 0, size: 1_000_000 }];
    expect(fitCell(million, 1350, 800)).toBe(1);
    expect(layOut(million, 1350, 1).height).toBeLessThan(800);
  });

  test('zoom_stops_at_both_ends', () => {
    expect(nextCell(26, 1)).toBe(26);
    expect(nextCell(1, -1)).toBe(1);
    expect(nextCell(1, -1, 0.5)).toBe(0.5);
    expect(nextCell(6, 1)).toBe(8);
  });

  test('rectangle_touches_the_cells_below_it', () => {
    const layout = layOut([{ wave: 1, first: 0, size: 100 }], 100, 10);
    const at = (ordinal: number) => cellPoint(layout, ordinal);
    const ranges = rangesIn(layout, { x: at(12).x + 1, y: at(12).y + 1 }, { x: at(34).x + 1, y: at(34).y + 1 });
    expect(ranges).toEqual([[12, 14], [22, 24], [32, 34]]);
    expect(countIn(ranges)).toBe(9);
  });

  test('rectangle_over_all_columns_is_one_range', () => {
    const layout = layOut([{ wave: 1, first: 0, size: 95 }], 100, 10);
    expect(rangesIn(layout, { x: 0, y: 0 }, { x: 99, y: 999 })).toEqual([[0, 94]]);
  });

  test('ranges_survive_an_address', () => {
    expect(readRanges(writeRanges([[3, 9], [12, 12]]) ?? '', 100)).toEqual([[3, 9], [12, 12]]);
    expect(readRanges('5-2,x,7,<b>,98-400', 100)).toEqual([[7, 7], [98, 99]]);
    expect(writeRanges(Array.from({ length: 900 }, (_, i) => [i * 2, i * 2]))).toBeNull();
  });
});

describe('long lists', () => {
  const short = { count: 100, rowPx: 32, viewportPx: 320 };
  const long = { count: 1_000_000, rowPx: 32, viewportPx: 320 };

  test('short_list_scrolls_one_to_one', () => {
    expect(spacerHeight(short)).toBe(3200);
    expect(listTop(short, 640)).toBe(640);
  });

  test('long_list_is_capped_and_still_reaches_its_end', () => {
    expect(spacerHeight(long)).toBe(MAX_HEIGHT_PX);
    expect(listTop(long, MAX_HEIGHT_PX - 320)).toBe(32_000_000 - 320);
    expect(listTop(long, 0)).toBe(0);
    expect(listTop(long, scrollTopFor(long, 12_345_678))).toBeCloseTo(12_345_678, 3);
  });

  test('pool_covers_the_viewport_with_distinct_rows', () => {
    const pool = poolSize(long);
    for (const first of [0, 1, 7, 999_000]) {
      const rows = Array.from({ length: pool }, (_, slot) => rowOfSlot(slot, first, pool)).sort((a, b) => a - b);
      expect(rows).toEqual(Array.from({ length: pool }, (_, i) => first + i));
    }
  });

  test('row_keeps_its_element_while_it_is_shown', () => {
    const pool = 10;
    const slotOf = (row: number, first: number) =>
      Array.from({ length: pool }, (_, slot) => slot).find((slot) => rowOfSlot(slot, first, pool) === row);
    expect(slotOf(15, 10)).toBe(slotOf(15, 14));
  });
});

describe('live lists', () => {
  test('list_in_use_keeps_the_places_of_its_rows', () => {
    expect(stableOrder(['a', 'b', 'c'], ['c', 'd', 'a'], true)).toEqual(['a', 'c', 'd']);
    expect(stableOrder(['a', 'b', 'c'], ['c', 'd', 'a'], false)).toEqual(['c', 'd', 'a']);
  });
});
