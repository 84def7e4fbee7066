import { api } from '../../api/client';
import type { FailureGroup } from '../../api/types';
import { readAllPages } from '../../lib/pages';
import { GROUP_COLORS } from '../../components/map/palette';

/** Members of a group that get its colour on the map; more would load for too long. */
const MAX_MEMBERS = 20_000;
const RELOAD_MS = 2_000;

/** The largest failure groups of a task, and which desktops belong to each. */
export class GroupColors {
  groups = $state.raw<FailureGroup[]>([]);
  /** Number of the group of each desktop, from 1; 0 without one. */
  mask: Uint8Array | null = null;
  version = $state(0);
  private readonly closed = new AbortController();
  private known = -1;
  private loadedAtMs = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly taskId: string) {}

  close(): void {
    clearTimeout(this.timer);
    this.closed.abort();
  }

  /** Loads the groups when the number of failures has changed, at most every two seconds. */
  async load(failures: number, size: number): Promise<void> {
    if (failures === this.known || size === 0) return;
    const waitMs = this.loadedAtMs + RELOAD_MS - Date.now();
    clearTimeout(this.timer);
    if (waitMs > 0) {
      this.timer = setTimeout(() => void this.load(failures, size), waitMs);
      return;
    }
    this.loadedAtMs = Date.now();
    this.known = failures;
    try {
      await this.read(size);
    } catch {
      this.known = -1;
    }
  }

  private async read(size: number): Promise<void> {
    const { signal } = this.closed;
    const options = { path: { task_id: this.taskId }, query: { page_size: 100 }, signal, background: true };
    const answer = await api.get('/tasks/{task_id}/failures', options);
    this.groups = answer.groups;
    const mask = new Uint8Array(size);
    for (const [index, group] of answer.groups.slice(0, GROUP_COLORS.length).entries()) {
      const path = `/tasks/${encodeURIComponent(this.taskId)}/failures/${group.fingerprint_id}`;
      const onpage = (members: { ordinal: number }[]) => {
        for (const { ordinal } of members) mask[ordinal] = index + 1;
      };
      await readAllPages<{ ordinal: number; desktop_id: string }, 'members'>(path, 'members', { signal, max: MAX_MEMBERS, onpage });
    }
    this.mask = mask;
    this.version += 1;
  }
}
