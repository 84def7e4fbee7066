import { untrack } from 'svelte';

import { isAbort } from '../api/client';

/**
 * One piece of server data in a view. A new load aborts the one before it, so an old answer never replaces a newer
 * one. After an error the last data stay, together with the error.
 */
export class Resource<T> {
  data = $state.raw<T | null>(null);
  error = $state.raw<unknown>(null);
  loading = $state(false);
  /** Time of the last answer in milliseconds since 1970; `null` before the first one. */
  loadedAt = $state<number | null>(null);
  private controller: AbortController | null = null;

  constructor(private readonly read: (signal: AbortSignal, background: boolean) => Promise<T>) {}

  /** Loads now. `background` marks a load that no person caused. */
  load(background = false): Promise<void> {
    return untrack(() => this.run(background));
  }

  private async run(background: boolean): Promise<void> {
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    this.loading = true;
    try {
      const data = await this.read(controller.signal, background);
      if (controller.signal.aborted) return;
      this.data = data;
      this.error = null;
      this.loadedAt = Date.now();
    } catch (error) {
      if (!controller.signal.aborted && !isAbort(error)) this.error = error;
    } finally {
      if (this.controller === controller) this.loading = false;
    }
  }

  /** Replaces the data, for example with the answer of a change. */
  set(data: T): void {
    this.controller?.abort();
    this.loading = false;
    this.data = data;
    this.error = null;
    this.loadedAt = Date.now();
  }

  clear(): void {
    this.cancel();
    this.data = null;
    this.error = null;
    this.loadedAt = null;
  }

  cancel(): void {
    this.controller?.abort();
    this.loading = false;
  }
}

/** Runs `action` `delayMs` after the last call, for searches while a person types. */
export function debounce<A extends unknown[]>(action: (...args: A) => void, delayMs: number): (...args: A) => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), delayMs);
  };
}
