import { ApiError, errorOf, projectUrl } from '../api/client';
import { type Frame, SseParser } from './sse';

/** Versions of the maps that the open tabs show, by task. */
export type MapWants = Map<string, number>;

export interface StreamOptions {
  wants: MapWants;
  lastId: string | null;
  signal: AbortSignal;
  onframe: (frame: Frame) => void;
}

/** Silence after which a stream counts as dead; the server sends a heartbeat every 15 s. */
const SILENCE_MS = 40_000;

/** Reads the project's event stream until it ends, or throws why it could not be read. */
export async function readStream({ wants, lastId, signal, onframe }: StreamOptions): Promise<void> {
  const maps = [...wants].slice(0, 8).map(([task, version]) => (version > 0 ? `${task}:${version}` : task));
  const url = projectUrl('/events', { types: 'task,event,map,desktops', map: maps, last_event_id: lastId });
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await fetch(url, {
      headers: { Accept: 'text/event-stream' },
      signal: AbortSignal.any([signal, silence.signal]),
      cache: 'no-store',
    });
    if (!response.ok) throw await errorOf(response);
    if (!response.body || !response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
      throw new ApiError(404, '', 'the answer is no event stream', null, null, null);
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new SseParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      for (const frame of parser.push(value)) onframe(frame);
    }
  } catch (error) {
    if (signal.aborted) return;
    if (silence.signal.aborted) throw new ApiError(0, '', 'the event stream is silent', null, null, null);
    throw error instanceof ApiError ? error : new ApiError(0, '', 'the event stream broke', null, null, null);
  } finally {
    clearTimeout(timer);
  }
}
