import { call } from '../../api/client';
import { type Attention, type AttentionItem, hasEnded, type TaskSummary } from '../../api/types';
import { Resource } from '../../lib/resource.svelte';
import { stableOrder } from '../../lib/stable-order';
import { live } from '../../live/live.svelte';

const RELOAD_MS = 1_000;

export const itemKey = (item: AttentionItem): string => `${item.kind}:${item.task.task_id}:${item.wave ?? 0}`;

/** Data of the first screen: what waits, and what runs. Rows keep their places while a person uses the lists. */
export class HomeData {
  readonly attention = new Resource<Attention>((signal, background) => call('GET', '/attention', { signal, background }));
  items = $state.raw<AttentionItem[]>([]);
  running = $state.raw<TaskSummary[]>([]);
  /** Whether the pointer or the focus is in a list. */
  isInUse = false;

  private changed = new Map<string, TaskSummary>();
  private frame = 0;
  private reload: ReturnType<typeof setTimeout> | undefined;

  start(): () => void {
    void this.load(false);
    const ends = [
      live.on('task', (task) => this.note(task)),
      live.on('event', () => this.reloadSoon()),
      live.on('reset', () => this.reloadSoon()),
      live.onPoll(() => this.load(true)),
    ];
    return () => {
      for (const end of ends) end();
      clearTimeout(this.reload);
      cancelAnimationFrame(this.frame);
      this.attention.cancel();
    };
  }

  async load(background: boolean): Promise<void> {
    await this.attention.load(background);
    const next = this.attention.data;
    if (!next || this.attention.error) return;
    live.noteFresh();
    const items = new Map(next.items.map((item) => [itemKey(item), item]));
    const running = new Map(next.running.map((task) => [task.task_id, task]));
    this.items = pick(items, stableOrder(this.items.map(itemKey), [...items.keys()], this.isInUse));
    this.running = pick(running, stableOrder(this.running.map((task) => task.task_id), [...running.keys()], this.isInUse));
  }

  /** Puts the answer of a change in place at once. */
  reloadSoon(delayMs = RELOAD_MS): void {
    clearTimeout(this.reload);
    this.reload = setTimeout(() => void this.load(true), delayMs);
  }

  private note(task: TaskSummary): void {
    this.changed.set(task.task_id, task);
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.apply());
  }

  private apply(): void {
    this.frame = 0;
    const { changed } = this;
    this.changed = new Map();
    const isKnown = new Set(this.running.map((task) => task.task_id));
    this.running = this.running.map((task) => changed.get(task.task_id) ?? task);
    this.items = this.items.map((item) => {
      const task = changed.get(item.task.task_id);
      return task ? { ...item, task } : item;
    });
    const moved = [...changed.values()].some((task) => hasEnded(task.status) === isKnown.has(task.task_id));
    if (moved) this.reloadSoon();
  }
}

function pick<T>(all: Map<string, T>, order: string[]): T[] {
  return order.flatMap((id) => all.get(id) ?? []);
}
