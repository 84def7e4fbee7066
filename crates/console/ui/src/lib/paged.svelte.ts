import { untrack } from 'svelte';

import { isAbort } from '../api/client';

export interface Page<T> {
  rows: T[];
  next: string | null | undefined;
}

/** A list that is read page by page, as far as it is shown. A new load aborts the one before it. */
export class PagedList<T> {
  rows = $state.raw<readonly T[]>([]);
  next = $state.raw<string | null>(null);
  error = $state.raw<unknown>(null);
  isLoading = $state(false);
  isLoaded = $state(false);
  private controller: AbortController | null = null;

  constructor(private readonly read: (token: string | undefined, signal: AbortSignal, background: boolean) => Promise<Page<T>>) {}

  /** Number of rows for a table; one row stands for those that are not read yet. */
  get count(): number {
    return this.rows.length + (this.next === null ? 0 : 1);
  }

  /** Reads the first page. Rows of the former filter stay until then. */
  load(background = false): Promise<void> {
    return untrack(() => this.run(undefined, background));
  }

  /** Reads the next page when the last rows come into view. */
  window(last: number): void {
    untrack(() => {
      if (this.next !== null && !this.isLoading && !this.error && last >= this.rows.length - 1) void this.run(this.next, false);
    });
  }

  /** Reads the first pages again, as many rows as are shown; for lists that refresh. */
  async refresh(): Promise<void> {
    if (this.rows.length <= FIRST_PAGES_ROWS) await this.load(true);
  }

  private async run(token: string | undefined, background: boolean): Promise<void> {
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    this.isLoading = true;
    try {
      const page = await this.read(token, controller.signal, background);
      if (controller.signal.aborted) return;
      this.rows = token === undefined ? page.rows : [...this.rows, ...page.rows];
      this.next = page.next ?? null;
      this.error = null;
      this.isLoaded = true;
    } catch (error) {
      if (!controller.signal.aborted && !isAbort(error)) this.error = error;
    } finally {
      if (this.controller === controller) this.isLoading = false;
    }
  }
}

/** A longer list is not refreshed on its own: its rows would be cut under the reader. */
const FIRST_PAGES_ROWS = 200;
