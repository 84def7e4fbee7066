import { ApiError } from '../api/client';
import { session } from '../api/session.svelte';
import type { MapDelta, TaskEvent, TaskSummary } from '../api/types';
import type { Frame } from './sse';
import { type MapWants, readStream } from './stream';

export type LiveState = 'connecting' | 'live' | 'polling' | 'offline';

interface Handlers {
  task: (task: TaskSummary) => void;
  event: (event: TaskEvent) => void;
  map: (delta: MapDelta) => void;
  /** The stream lost its place: load everything again. */
  reset: () => void;
}

type Message =
  | { kind: 'frame'; frame: Frame }
  | { kind: 'state'; state: LiveState }
  | { kind: 'wants'; tab: string; maps: [string, number][] }
  | { kind: 'ask' };

const POLL_MS = 5_000;
const WANTS_LIFE_MS = 30_000;
const MAX_BACKOFF_MS = 15_000;

/**
 * One event stream for all tabs of a session. The tab that holds a Web Lock reads it and passes each frame on over a
 * BroadcastChannel; when that tab closes, another one continues after the last frame. Without a stream, each tab
 * polls what it shows.
 */
class Live {
  state = $state<LiveState>('connecting');
  /** Time of the newest news in milliseconds since 1970. */
  lastAtMs = $state(0);
  connectedDesktops = $state<number | null>(null);

  private readonly tab = crypto.randomUUID();
  private handlers: { [K in keyof Handlers]: Set<Handlers[K]> } = {
    task: new Set(),
    event: new Set(),
    map: new Set(),
    reset: new Set(),
  };
  private pollers = new Set<() => Promise<unknown>>();
  private channel: BroadcastChannel | null = null;
  private own: MapWants = new Map();
  private others = new Map<string, { maps: [string, number][]; atMs: number }>();
  private lastId: string | null = null;
  private leading: AbortController | null = null;
  private stream: AbortController | null = null;
  private stopped: AbortController | null = null;
  private streamed = '';
  private reconnectTimer: ReturnType<typeof setTimeout> | undefined;

  /** Starts for the present session; returns the end of it. */
  start(): () => void {
    const stopped = new AbortController();
    this.stopped = stopped;
    this.lastId = null;
    this.state = 'connecting';
    const name = `graywave-${session.projectId}-${session.current?.session_id ?? ''}`;
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = (message: MessageEvent<Message>) => this.receive(message.data);
    const announcing = setInterval(() => this.announce(), WANTS_LIFE_MS / 3);
    const polling = setInterval(() => void this.poll(), POLL_MS);
    this.lead(name, stopped.signal);
    this.announce();
    const seen = () => document.visibilityState === 'visible' && void this.poll();
    document.addEventListener('visibilitychange', seen);
    return () => {
      stopped.abort();
      this.leading?.abort();
      clearInterval(announcing);
      clearInterval(polling);
      document.removeEventListener('visibilitychange', seen);
      this.channel?.close();
      this.channel = null;
    };
  }

  on<K extends keyof Handlers>(kind: K, handler: Handlers[K]): () => void {
    this.handlers[kind].add(handler);
    return () => this.handlers[kind].delete(handler);
  }

  /** Calls `load` every five seconds while there is no stream, and when the stream lost its place. */
  onPoll(load: () => Promise<unknown>): () => void {
    this.pollers.add(load);
    return () => this.pollers.delete(load);
  }

  /** Asks for the changes of a task's map after `version`; `null` ends that. */
  wantMap(taskId: string, version: number | null): void {
    const before = this.own.has(taskId);
    if (version === null) this.own.delete(taskId);
    else this.own.set(taskId, version);
    if (before !== (version !== null)) this.announce();
  }

  /** Notes that a call has just brought fresh data. */
  noteFresh(): void {
    this.lastAtMs = Date.now();
    if (this.state === 'offline') this.setState('polling');
  }

  private receive(message: Message): void {
    if (message.kind === 'frame') this.dispatch(message.frame);
    else if (message.kind === 'state') this.state = message.state;
    else if (message.kind === 'ask') this.announce();
    else if (this.leading) {
      this.others.set(message.tab, { maps: message.maps, atMs: Date.now() });
      this.reconnectIfNeeded();
      this.post({ kind: 'state', state: this.state });
    }
  }

  private announce(): void {
    if (this.leading) this.reconnectIfNeeded();
    else this.post({ kind: 'wants', tab: this.tab, maps: [...this.own] });
  }

  private post(message: Message): void {
    this.channel?.postMessage(message);
  }

  private setState(state: LiveState): void {
    this.state = state;
    if (this.leading) this.post({ kind: 'state', state });
  }

  private lead(name: string, signal: AbortSignal): void {
    const run = async () => {
      this.leading = new AbortController();
      this.post({ kind: 'ask' });
      await this.follow(AbortSignal.any([signal, this.leading.signal]));
    };
    if (navigator.locks) void navigator.locks.request(name, { signal }, run).catch(() => undefined);
    else void run();
  }

  private async follow(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const stream = new AbortController();
      this.stream = stream;
      const wants = this.allWants();
      this.streamed = wantsKey(wants);
      let retryMs = 0;
      try {
        await readStream({
          wants,
          lastId: this.lastId,
          signal: AbortSignal.any([signal, stream.signal]),
          onframe: (frame) => {
            failures = 0;
            retryMs = frame.retryMs ?? retryMs;
            if (this.state !== 'live') this.setState('live');
            this.post({ kind: 'frame', frame });
            this.dispatch(frame);
          },
        });
        // A stream that ends early counts as a failure, so that a broken proxy is not asked in a circle.
        if (!stream.signal.aborted) await pause(retryMs || 1_000, signal);
      } catch (error) {
        failures += 1;
        const status = error instanceof ApiError ? error.status : 0;
        if (status === 401) return session.expire();
        if (status === 400) this.lastId = null;
        if (failures > 1 || status === 404) this.setState(status === 0 ? 'offline' : 'polling');
        const unsupported = status === 404 || status === 405;
        await pause(unsupported ? 60_000 : backoffMs(failures), signal, stream.signal);
      }
    }
  }

  private allWants(): MapWants {
    const wants: MapWants = new Map(this.own);
    for (const [tab, { maps, atMs }] of this.others) {
      if (Date.now() - atMs > WANTS_LIFE_MS) this.others.delete(tab);
      else for (const [task, version] of maps) if (!wants.has(task)) wants.set(task, version);
    }
    return wants;
  }

  private reconnectIfNeeded(): void {
    clearTimeout(this.reconnectTimer);
    this.reconnectTimer = setTimeout(() => {
      if (wantsKey(this.allWants()) !== this.streamed) this.stream?.abort();
    }, 50);
  }

  private dispatch(frame: Frame): void {
    this.lastAtMs = Date.now();
    if (frame.id) this.lastId = frame.id;
    switch (frame.event) {
      case 'task':
        return this.tell('task', JSON.parse(frame.data) as TaskSummary);
      case 'event':
        return this.tell('event', JSON.parse(frame.data) as TaskEvent);
      case 'map':
        return this.tell('map', JSON.parse(frame.data) as MapDelta);
      case 'desktops':
        this.connectedDesktops = (JSON.parse(frame.data) as { connected: number }).connected;
        return;
      case 'reset':
        for (const handler of this.handlers.reset) handler();
        for (const load of this.pollers) void load();
    }
  }

  private tell<K extends 'task' | 'event' | 'map'>(kind: K, value: Parameters<Handlers[K]>[0]): void {
    for (const handler of this.handlers[kind]) (handler as (value: unknown) => void)(value);
  }

  private async poll(): Promise<void> {
    if (this.state === 'live' || document.visibilityState === 'hidden' || this.stopped?.signal.aborted) return;
    await Promise.allSettled([...this.pollers].map((load) => load()));
  }
}

/** Tasks alone: a newer version of the same map needs no new stream. */
const wantsKey = (wants: MapWants): string => [...wants.keys()].sort().join();

export function backoffMs(failures: number, random: number = Math.random()): number {
  return Math.min(MAX_BACKOFF_MS, 500 * 2 ** Math.min(failures, 6)) * (0.5 + random / 2);
}

function pause(milliseconds: number, ...signals: AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const signal = AbortSignal.any(signals);
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

export const live = new Live();
