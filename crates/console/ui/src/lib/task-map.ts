import type { MapDelta } from '../api/types';
import { statusOf, type CellStatus } from './map-codes';

/** Every desktop of a task, a byte each, in the order of the plan. Mutable and outside reactivity. */
export class TaskMap {
  readonly counts = new Uint32Array(256);
  /** Grows with each change, for those who draw it. */
  changes = 0;

  constructor(
    readonly codes: Uint8Array,
    public version: number,
  ) {
    for (const code of codes) this.counts[code] = (this.counts[code] ?? 0) + 1;
  }

  get size(): number {
    return this.codes.length;
  }

  /** Applies a delta; `false` if the map must be loaded again. An old delta changes nothing. */
  apply(delta: MapDelta): boolean {
    // A halt skips the rest of the plan without a report, so without a newer version.
    if (delta.reset) return false;
    if (delta.version <= this.version) return true;
    for (const { code, ranges } of delta.changes ?? []) {
      for (const [from, to] of ranges) this.fill(code, from, to);
    }
    this.version = delta.version;
    this.changes += 1;
    return true;
  }

  private fill(code: number, from: number, to: number): void {
    const { codes, counts } = this;
    const end = Math.min(to, codes.length - 1);
    for (let ordinal = Math.max(0, from); ordinal <= end; ordinal += 1) {
      const before = codes[ordinal] ?? 0;
      counts[before] = (counts[before] ?? 1) - 1;
      codes[ordinal] = code;
      counts[code] = (counts[code] ?? 0) + 1;
    }
  }

  countOf(status: CellStatus): number {
    let total = 0;
    for (let code = 0; code < 256; code += 1) if (statusOf(code) === status) total += this.counts[code] ?? 0;
    return total;
  }

  /** Ordinals of all desktops that a filter accepts, ascending. */
  select(accepts: (code: number, ordinal: number) => boolean): Uint32Array {
    const found = new Uint32Array(this.codes.length);
    let length = 0;
    this.codes.forEach((code, ordinal) => {
      if (accepts(code, ordinal)) found[length++] = ordinal;
    });
    return found.slice(0, length);
  }

  /** Next ordinal from `start` in a direction that `accepts`; -1 without one. */
  find(start: number, step: 1 | -1, accepts: (code: number) => boolean): number {
    for (let ordinal = start; ordinal >= 0 && ordinal < this.codes.length; ordinal += step) {
      if (accepts(this.codes[ordinal] ?? 0)) return ordinal;
    }
    return -1;
  }
}
