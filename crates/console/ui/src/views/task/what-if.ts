import type { Rollout, Task } from '../../api/types';

type WaveRequest = NonNullable<Rollout['waves']>[number];
type Threshold = NonNullable<Rollout['fail_threshold']>;

/** Waves of a task as a person writes them: `5, 20, rest`. */
export function writeWaves(task: Pick<Task, 'waves'>): string {
  return task.waves.map((wave, index) => (index === task.waves.length - 1 && index > 0 ? 'rest' : String(wave.size))).join(', ');
}

/** Reads `5, 10%, rest`; `null` if a part is neither. */
export function parseWaves(text: string): WaveRequest[] | null {
  const parts = text.split(',').map((part) => part.trim()).filter(Boolean);
  if (parts.length === 0 || parts.length > 100) return null;
  const waves: WaveRequest[] = [];
  for (const [index, part] of parts.entries()) {
    if (part === 'rest' && index === parts.length - 1) waves.push({ rest: true });
    else if (/^\d+$/.test(part) && Number(part) > 0) waves.push({ count: Number(part) });
    else if (/^\d+(\.\d{1,2})?%$/.test(part) && inPercent(part)) waves.push({ percent: Number.parseFloat(part) });
    else return null;
  }
  return waves;
}

/** Reads `2`, `2.5%` or `2.5%/50`; `null` without a threshold, `undefined` for any other text. */
export function parseThreshold(text: string): Threshold | null | undefined {
  const part = text.trim();
  if (part === '') return null;
  if (/^\d+$/.test(part) && Number(part) > 0) return { count: Number(part) };
  const match = /^(\d+(?:\.\d{1,2})?)%(?:\/(\d+))?$/.exec(part);
  if (!match || !inPercent(part)) return undefined;
  return { percent: Number(match[1]), ...(match[2] ? { min_results: Number(match[2]) } : {}) };
}

const inPercent = (text: string): boolean => Number.parseFloat(text) > 0 && Number.parseFloat(text) <= 100;
