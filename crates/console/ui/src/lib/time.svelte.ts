import { session } from '../api/session.svelte';
import { language, t } from '../i18n/index.svelte';

/** The present second, on the server's clock. One timer for the whole page. */
class Clock {
  nowMs = $state(Date.now());
  constructor() {
    if (typeof window === 'undefined') return;
    const tick = () => {
      this.nowMs = Date.now() + session.clockSkewMs;
      setTimeout(tick, 1000 - (Date.now() % 1000));
    };
    tick();
  }
}

export const clock = new Clock();

/** Formats by their options: making one costs more than a hundred uses of it. */
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(tag: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = tag + Object.entries(options).flat().join();
  let format = formats.get(key);
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat(tag, options)));
  return format;
}

export function formatLocal(iso: string, options: { seconds?: boolean; tag?: string; nowMs?: number } = {}): string {
  const date = new Date(iso);
  const today = new Date(options.nowMs ?? Date.now());
  const isSameYear = date.getFullYear() === today.getFullYear();
  const isSameDay = isSameYear && date.getMonth() === today.getMonth() && date.getDate() === today.getDate();
  return formatOf(options.tag ?? language.tag, {
    ...(isSameDay ? {} : { month: 'short', day: 'numeric' }),
    ...(isSameYear ? {} : { year: 'numeric' }),
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
    ...(options.seconds === false ? {} : { second: '2-digit' }),
  }).format(date);
}

/** Both readings of one moment, for titles: the viewer's zone by name, and UTC. */
export function formatBoth(iso: string, tag: string = language.tag): string {
  const date = new Date(iso);
  const local = formatOf(tag, { dateStyle: 'medium', timeStyle: 'long', hourCycle: 'h23' }).format(date);
  return `${local}\n${date.toISOString()} UTC`;
}

/** A duration as `1 d 3 h`, `2 min 5 s`, `7 s`. */
export function formatDuration(milliseconds: number, maxUnits = 2): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const units: [number, string][] = [
    [86_400, t('common.unit.d')],
    [3_600, t('common.unit.h')],
    [60, t('common.unit.min')],
    [1, t('common.unit.s')],
  ];
  const parts: string[] = [];
  let rest = seconds;
  for (const [size, name] of units) {
    const value = Math.floor(rest / size);
    rest -= value * size;
    if (value > 0) parts.push(`${value} ${name}`);
    else if (parts.length > 0) break;
    if (parts.length === maxUnits) break;
  }
  return parts.length === 0 ? `0 ${t('common.unit.s')}` : parts.join(' ');
}
