import { isAbort } from '../../api/client';
import type { TaskRecord } from '../../api/types';
import { TaskHistory } from '../../lib/history';
import { readAllPages } from '../../lib/pages';

/** Tasks up to this size load their history when it is shown; larger ones ask first. */
export const MAX_UNASKED = 20_000;

/** Loads the times of all records of a task, page by page. */
export class HistoryLoad {
  history = $state.raw<TaskHistory | null>(null);
  loaded = $state(0);
  isLoading = $state(false);
  error = $state.raw<unknown>(null);
  version = $state(0);
  private controller: AbortController | null = null;

  constructor(
    private readonly taskId: string,
    private readonly size: number,
  ) {}

  async load(): Promise<void> {
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    this.isLoading = true;
    this.loaded = 0;
    this.error = null;
    const history = new TaskHistory(this.size);
    try {
      const path = `/tasks/${encodeURIComponent(this.taskId)}/records`;
      await readAllPages<TaskRecord, 'records'>(path, 'records', {
        signal: controller.signal,
        onpage: (records, total) => {
          for (const record of records) history.add(record);
          this.loaded = total;
        },
      });
      this.history = history;
      this.version += 1;
    } catch (error) {
      if (!isAbort(error)) this.error = error;
    } finally {
      if (this.controller === controller) this.isLoading = false;
    }
  }

  close(): void {
    this.controller?.abort();
  }
}
