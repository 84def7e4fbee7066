import type { TaskRecord } from '../api/types';
import { codeOf } from './map-codes';

/** When each target of a task started and ended, and how. Times are milliseconds since 1970; NaN is never. */
export class TaskHistory {
  readonly start: Float64Array;
  readonly end: Float64Array;
  readonly code: Uint8Array;
  firstMs = Infinity;
  lastMs = -Infinity;

  constructor(readonly size: number) {
    this.start = new Float64Array(size).fill(NaN);
    this.end = new Float64Array(size).fill(NaN);
    this.code = new Uint8Array(size);
  }

  /** Adds a record; the first script starts its target, and the first that did not succeed decides its outcome. */
  add(record: Pick<TaskRecord, 'ordinal' | 'start_time' | 'end_time' | 'outcome'>): void {
    const { ordinal } = record;
    if (ordinal >= this.size) return;
    if (record.start_time) this.start[ordinal] = least(this.start[ordinal], this.span(Date.parse(record.start_time)));
    if (record.end_time) this.end[ordinal] = most(this.end[ordinal], this.span(Date.parse(record.end_time)));
    const before = this.code[ordinal] ?? 0;
    if (record.outcome && (before === 0 || before === 16)) this.code[ordinal] = codeOf(record.outcome);
  }

  private span(timeMs: number): number {
    this.firstMs = Math.min(this.firstMs, timeMs);
    this.lastMs = Math.max(this.lastMs, timeMs);
    return timeMs;
  }

  /** State of every desktop at a moment. */
  codesAt(timeMs: number, codes: Uint8Array = new Uint8Array(this.size)): Uint8Array {
    const { start, end, code } = this;
    for (let ordinal = 0; ordinal < codes.length; ordinal += 1) {
      const ended = end[ordinal] ?? NaN;
      const started = start[ordinal] ?? NaN;
      if (ended <= timeMs) codes[ordinal] = code[ordinal] ?? 0;
      else if (started <= timeMs) codes[ordinal] = 2;
      else codes[ordinal] = 0;
    }
    return codes;
  }

  /** Running totals at the ends of equal periods. */
  series(periods: number, isCounted: (code: number) => boolean): Series {
    const series: Series = { timesMs: [], started: new Array(periods).fill(0), ended: new Array(periods).fill(0), failed: new Array(periods).fill(0) };
    const spanMs = Math.max(1, this.lastMs - this.firstMs);
    const periodOf = (timeMs: number) => Math.max(0, Math.min(periods - 1, Math.ceil(((timeMs - this.firstMs) / spanMs) * periods) - 1));
    for (let ordinal = 0; ordinal < this.size; ordinal += 1) {
      const started = this.start[ordinal] ?? NaN;
      const ended = this.end[ordinal] ?? NaN;
      if (!Number.isNaN(started)) bump(series.started, periodOf(started));
      if (Number.isNaN(ended)) continue;
      bump(series.ended, periodOf(ended));
      if (isCounted(this.code[ordinal] ?? 0)) bump(series.failed, periodOf(ended));
    }
    for (let period = 0; period < periods; period += 1) {
      series.timesMs.push(this.firstMs + (spanMs * (period + 1)) / periods);
      for (const line of [series.started, series.ended, series.failed]) line[period] = (line[period] ?? 0) + (line[period - 1] ?? 0);
    }
    return series;
  }
}

export interface Series {
  timesMs: number[];
  started: number[];
  ended: number[];
  failed: number[];
}

const least = (a: number | undefined, b: number): number => (a === undefined || Number.isNaN(a) ? b : Math.min(a, b));
const most = (a: number | undefined, b: number): number => (a === undefined || Number.isNaN(a) ? b : Math.max(a, b));

function bump(line: number[], index: number): void {
  line[index] = (line[index] ?? 0) + 1;
}
