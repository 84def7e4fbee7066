import { api, isAbort } from '../api/client';
import type { Target, TaskRecord } from '../api/types';
import { recordTokenBefore, tokenBefore } from './pages';

const PAGE = 100;
/** Pages that stay in memory: 20,000 desktops. */
const MAX_PAGES = 200;
const MAX_AT_ONCE = 3;

interface Page {
  targets: Target[];
  records: Map<number, TaskRecord[]>;
}

/** Desktops and records of a task, loaded by page as views show them. Outside reactivity; `onload` announces news. */
export class PlanRows {
  private pages = new Map<number, Page>();
  private wanted: number[] = [];
  private loading = new Map<number, AbortController>();
  private stale = new Set<number>();
  private isClosed = false;

  constructor(
    private readonly taskId: string,
    private readonly onload: () => void,
    private readonly onerror: (error: unknown) => void = () => undefined,
  ) {}

  target(ordinal: number): Target | null {
    return this.pages.get(Math.floor(ordinal / PAGE))?.targets[ordinal % PAGE] ?? null;
  }

  /** Records of a target in the order of its scripts; empty until its page is there. */
  records(ordinal: number): TaskRecord[] {
    return this.pages.get(Math.floor(ordinal / PAGE))?.records.get(ordinal) ?? [];
  }

  /** Loads the pages of some ordinals, and drops the wish for others that did not start. */
  need(ordinals: Iterable<number>): void {
    const pages = new Set<number>();
    for (const ordinal of ordinals) if (ordinal >= 0) pages.add(Math.floor(ordinal / PAGE));
    this.wanted = [...pages].filter((page) => (!this.pages.has(page) || this.stale.has(page)) && !this.loading.has(page));
    this.pump();
  }

  /** Marks the pages of a range, so that their records are read again when they are needed. */
  invalidate(from: number, to: number): void {
    for (const page of this.pages.keys()) {
      if (page * PAGE <= to && (page + 1) * PAGE > from) this.stale.add(page);
    }
  }

  close(): void {
    this.isClosed = true;
    for (const controller of this.loading.values()) controller.abort();
  }

  private pump(): void {
    while (this.loading.size < MAX_AT_ONCE && !this.isClosed) {
      const page = this.wanted.shift();
      if (page === undefined) return;
      void this.load(page);
    }
  }

  private async load(page: number): Promise<void> {
    const controller = new AbortController();
    this.loading.set(page, controller);
    this.stale.delete(page);
    const first = page * PAGE;
    const options = { path: { task_id: this.taskId }, signal: controller.signal, background: true };
    try {
      const known = this.pages.get(page)?.targets;
      const [targets, records] = await Promise.all([
        known
          ? { targets: known }
          : api.get('/tasks/{task_id}/targets', { ...options, query: { page_size: PAGE, page_token: tokenBefore(first) } }),
        api.get('/tasks/{task_id}/records', { ...options, query: { page_size: 500, page_token: recordTokenBefore(first) } }),
      ]);
      if (this.isClosed) return;
      this.keep(page, { targets: targets.targets, records: byOrdinal(records.records, first) });
      this.onload();
    } catch (error) {
      if (!isAbort(error)) {
        this.stale.add(page);
        this.onerror(error);
      }
    } finally {
      this.loading.delete(page);
      this.pump();
    }
  }

  private keep(number: number, page: Page): void {
    this.pages.delete(number);
    this.pages.set(number, page);
    for (const oldest of this.pages.keys()) {
      if (this.pages.size <= MAX_PAGES) break;
      this.pages.delete(oldest);
    }
  }
}

function byOrdinal(records: TaskRecord[], first: number): Map<number, TaskRecord[]> {
  const found = new Map<number, TaskRecord[]>();
  for (const record of records) {
    if (record.ordinal >= first + PAGE) continue;
    const list = found.get(record.ordinal);
    if (list) list.push(record);
    else found.set(record.ordinal, [record]);
  }
  return found;
}
