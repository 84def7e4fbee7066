import { api, ApiError, isAbort } from '../../api/client';
import type { TaskRecord } from '../../api/types';
import { t } from '../../i18n/index.svelte';
import { OutputLines } from '../../lib/output-text';

const READ_MS = 1_000;
/** Lines that stay in memory; older ones are dropped with a note. */
const MAX_LINES = 200_000;

/** Output of one record, read by range; follows a script that runs. */
export class Output {
  readonly text = new OutputLines();
  version = $state(0);
  state = $state<string>('WAITING');
  error = $state.raw<unknown>(null);
  private readonly closed = new AbortController();

  constructor(private readonly record: TaskRecord) {}

  async follow(): Promise<void> {
    let from = 0;
    const { signal } = this.closed;
    while (!signal.aborted) {
      try {
        const path = { record_id: this.record.record_id };
        const part = await api.get('/records/{record_id}/output', { path, query: { from }, signal, background: true });
        this.error = null;
        if (part.is_incomplete) {
          await this.readWhole(signal);
          return;
        }
        if (part.offset > from) this.text.gap(t('task.output.gap', { n: part.offset - from }));
        if (part.output !== '') this.text.append(part.output);
        const isNews = part.next_offset !== from || part.state !== this.state;
        from = part.next_offset;
        this.state = part.state;
        if (isNews) this.change();
        if (part.state === 'ENDED') return;
        if (part.output !== '' && part.state === 'LIVE') continue;
      } catch (error) {
        if (isAbort(error)) return;
        this.error = error;
        if (error instanceof ApiError && !error.isTransient) return;
      }
      await new Promise((resolve) => setTimeout(resolve, READ_MS));
    }
  }

  close(): void {
    this.closed.abort();
  }

  /** The last part of live output was lost: the record has what was kept. */
  private async readWhole(signal: AbortSignal): Promise<void> {
    const record = await api.get('/records/{record_id}', { path: { record_id: this.record.record_id }, signal });
    this.text.lines.length = 0;
    this.text.append(record.output ?? '');
    this.state = 'ENDED';
    this.change();
  }

  private change(): void {
    const { lines } = this.text;
    if (lines.length > MAX_LINES) lines.splice(0, lines.length - MAX_LINES);
    this.version += 1;
  }
}
