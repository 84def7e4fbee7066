import { api, ApiError, isAbort, projectUrl, send } from '../../api/client';
import { hasEnded, type MapDelta, type Task, type TaskEvent, type TaskSummary } from '../../api/types';
import type { WaveSpan } from '../../lib/map-layout';
import { PlanRows } from '../../lib/plan-rows';
import { Resource } from '../../lib/resource.svelte';
import { summaryOf } from '../../lib/summary';
import { TaskMap } from '../../lib/task-map';
import { live } from '../../live/live.svelte';

const RELOAD_MS = 700;

/** Data of one task's view. Large parts are outside reactivity; their versions tell that they changed. */
export class TaskData {
  readonly task: Resource<Task>;
  summary = $state.raw<TaskSummary | null>(null);
  map = $state.raw<TaskMap | null>(null);
  mapVersion = $state(0);
  mapError = $state.raw<unknown>(null);
  rowsVersion = $state(0);
  /** Events that arrived while the view was open, oldest first. */
  events = $state.raw<TaskEvent[]>([]);
  readonly rows: PlanRows;

  private etag: string | null = null;
  private mapLoad: AbortController | null = null;
  private early: MapDelta[] = [];
  private frame = 0;
  private nextSummary: TaskSummary | null = null;
  private isMapDirty = false;
  private reload: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly taskId: string) {
    this.task = new Resource((signal, background) => api.get('/tasks/{task_id}', { path: { task_id: taskId }, signal, background }));
    this.rows = new PlanRows(taskId, () => (this.rowsVersion += 1));
  }

  start(): () => void {
    void this.loadTask(false);
    void this.loadMap(false);
    const ends = [
      live.on('task', (task) => {
        if (task.task_id === this.taskId) this.noteSummary(task);
      }),
      live.on('event', (event) => {
        if (event.task_id === this.taskId) this.noteEvent(event);
      }),
      live.on('map', (delta) => {
        if (delta.task_id === this.taskId) this.noteDelta(delta);
      }),
      live.on('reset', () => void this.loadMap(true)),
      live.onPoll(() => this.poll()),
    ];
    return () => {
      for (const end of ends) end();
      live.wantMap(this.taskId, null);
      clearTimeout(this.reload);
      cancelAnimationFrame(this.frame);
      this.mapLoad?.abort();
      this.task.cancel();
      this.rows.close();
    };
  }

  async loadTask(background: boolean): Promise<void> {
    await this.task.load(background);
    const task = this.task.data;
    if (!task || this.task.error) return;
    live.noteFresh();
    this.summary = { ...summaryOf(task), frozen: this.summary?.frozen ?? false };
  }

  /** Puts the answer of a change in place. */
  accept(task: Task): void {
    this.task.set(task);
    this.summary = summaryOf(task);
  }

  async loadMap(background: boolean): Promise<void> {
    this.mapLoad?.abort();
    const controller = new AbortController();
    this.mapLoad = controller;
    try {
      const url = projectUrl(`/tasks/${encodeURIComponent(this.taskId)}/map`);
      const response = await send('GET', url, { signal: controller.signal, background });
      const etag = response.headers.get('ETag');
      const version = Number(response.headers.get('X-Graywave-Map-Version') ?? 0);
      if (etag !== null && etag === this.etag && this.map && version <= this.map.version) return;
      const map = new TaskMap(new Uint8Array(await response.arrayBuffer()), version);
      for (const delta of this.early) map.apply(delta);
      this.early = [];
      this.etag = etag;
      this.map = map;
      this.mapError = null;
      this.mapVersion += 1;
      this.rows.invalidate(0, map.size);
      live.wantMap(this.taskId, map.version);
    } catch (error) {
      if (!isAbort(error)) this.mapError = error;
      if (error instanceof ApiError && error.status === 404) live.wantMap(this.taskId, null);
    }
  }

  private async poll(): Promise<void> {
    if (this.summary && hasEnded(this.summary.status) && this.map) {
      await this.loadTask(true);
      return;
    }
    await Promise.all([this.loadTask(true), this.loadMap(true)]);
  }

  private noteSummary(summary: TaskSummary): void {
    const before = this.nextSummary ?? this.summary;
    this.nextSummary = summary;
    if (before && before.status !== summary.status) {
      this.reloadSoon();
      if (hasEnded(summary.status)) void this.loadMap(true);
    }
    this.schedule();
  }

  private noteEvent(event: TaskEvent): void {
    if (this.events.some((known) => known.event_id === event.event_id)) return;
    this.events = [...this.events, event];
    this.reloadSoon();
  }

  private noteDelta(delta: MapDelta): void {
    if (!this.map) {
      this.early.push(delta);
      return;
    }
    if (!this.map.apply(delta)) {
      void this.loadMap(true);
      return;
    }
    for (const { ranges } of delta.changes ?? []) for (const [from, to] of ranges) this.rows.invalidate(from, to);
    live.wantMap(this.taskId, this.map.version);
    this.isMapDirty = true;
    this.schedule();
  }

  private schedule(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.apply());
  }

  private apply(): void {
    this.frame = 0;
    if (this.nextSummary) this.summary = this.nextSummary;
    this.nextSummary = null;
    if (this.isMapDirty) this.mapVersion += 1;
    this.isMapDirty = false;
  }

  private reloadSoon(): void {
    clearTimeout(this.reload);
    this.reload = setTimeout(() => void this.loadTask(true), RELOAD_MS);
  }
}

export const waveSpans = (summary: TaskSummary): WaveSpan[] =>
  summary.waves.map((wave) => ({ wave: wave.wave, first: wave.first_ordinal, size: wave.size }));
