import type { Schemas } from '../../api/client';
import type { TextKey } from '../../i18n/index.svelte';
import { parseIds } from '../../lib/ids';
import type { RolloutForm, WaveInput } from './form';

type Rollout = Schemas['Rollout'];
export type ExecutionBody = Omit<Schemas['Execution'], 'resource_ids'> & {
  resource_ids?: string[];
  desktop_pool_id?: string;
  desktop_tag?: string;
};

/** Errors by field of the form; see `fieldOf`. */
export type FieldErrors = Record<string, { text: TextKey; values?: Record<string, string | number> }>;

export interface Built {
  body: ExecutionBody;
  errors: FieldErrors;
}

/** The request that the form describes. With errors the body is what could be read. */
export function buildBody(form: RolloutForm, ids: readonly string[]): Built {
  const errors: FieldErrors = {};
  const body: ExecutionBody = {};
  work(form, body, errors);
  targets(form, ids, body, errors);
  const rollout: Rollout = {};
  if (form.plan === 'gray') gray(form, body, errors);
  if (form.plan === 'waves') rollout.waves = form.waves.map((wave, index) => waveOf(wave, index, errors));
  settings(form, rollout, errors);
  if (Object.keys(rollout).length > 0) body.rollout = rollout;
  return { body, errors };
}

function work(form: RolloutForm, body: ExecutionBody, errors: FieldErrors): void {
  if (form.work === 'saved') {
    if (form.scripts.length === 0) errors['script_ids'] = { text: 'rollout.error.scripts' };
    body.script_ids = form.scripts.map((script) => script.id);
    const values = Object.entries(form.parameters).filter(([, value]) => value !== '');
    if (values.length > 0) body.parameters = Object.fromEntries(values);
  } else {
    if (form.command.trim() === '') errors['command'] = { text: 'rollout.error.command' };
    body.command = form.command;
    body.command_type = form.commandType;
  }
  const minutes = integer(form.timeout, 'execution_timeout', 1, 600, errors);
  if (minutes !== undefined) body.execution_timeout = minutes;
}

function targets(form: RolloutForm, ids: readonly string[], body: ExecutionBody, errors: FieldErrors): void {
  if (form.targets === 'tag') {
    body.desktop_tag = form.tag.trim();
    if (!/^[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*$/.test(body.desktop_tag)) errors['desktop_tag'] = { text: 'rollout.error.tag' };
    return;
  }
  if (form.targets === 'pool') {
    body.desktop_pool_id = form.pool.trim();
    if (body.desktop_pool_id === '') errors['desktop_pool_id'] = { text: 'rollout.error.pool' };
    return;
  }
  body.resource_ids = ids as string[];
  if (ids.length === 0) errors['resource_ids'] = { text: 'rollout.error.ids' };
}

function gray(form: RolloutForm, body: ExecutionBody, errors: FieldErrors): void {
  const grayIds = parseIds(form.grayIds).ids;
  const count = integer(form.grayCount, 'gray_count', 1, 1_000_000, errors);
  if (count !== undefined) body.gray_count = count;
  if (grayIds.length > 0) body.gray_resource_ids = grayIds;
  if (count === undefined && grayIds.length === 0) errors['gray_count'] ??= { text: 'rollout.error.gray' };
  const threshold = integer(form.grayThreshold, 'gray_fail_threshold', 1, 1_000_000, errors);
  if (threshold !== undefined) body.gray_fail_threshold = threshold;
}

function waveOf(input: WaveInput, index: number, errors: FieldErrors): Schemas['Wave'] {
  const wave: Schemas['Wave'] = {};
  const field = `waves.${index}.size`;
  const size = input.size.trim().toLowerCase();
  const percent = /^(\d+(?:\.\d{1,2})?)\s*%$/.exec(size);
  if (size === 'rest') wave.rest = true;
  else if (percent) wave.percent = inRange(Number(percent[1]), field, 0.01, 100, errors);
  else if (/^\d+$/.test(size)) wave.count = inRange(Number(size), field, 1, 1_000_000, errors);
  else errors[field] = { text: 'rollout.error.wave' };
  const threshold = thresholdOf(input.threshold, `waves.${index}.threshold`, errors);
  if (threshold) wave.fail_threshold = threshold;
  return wave;
}

/** Reads `2`, `2.5%` or `2.5%/50`. */
export function thresholdOf(text: string, field: string, errors: FieldErrors): Schemas['Threshold'] | undefined {
  const trimmed = text.trim();
  if (trimmed === '') return undefined;
  const match = /^(\d+(?:\.\d{1,2})?)\s*(%)?\s*(?:\/\s*(\d+))?$/.exec(trimmed);
  const value = Number(match?.[1]);
  if (!match || value <= 0 || (match[2] ? value > 100 : !Number.isInteger(value) || match[3] !== undefined)) {
    errors[field] = { text: 'rollout.error.threshold' };
    return undefined;
  }
  if (!match[2]) return { count: value };
  return match[3] === undefined ? { percent: value } : { percent: value, min_results: Number(match[3]) };
}

function settings(form: RolloutForm, rollout: Rollout, errors: FieldErrors): void {
  const threshold = thresholdOf(form.threshold, 'fail_threshold', errors);
  if (threshold) rollout.fail_threshold = threshold;
  if (form.strict) rollout.strict = true;
  set(rollout, 'max_concurrency', integer(form.concurrency, 'max_concurrency', 1, 1_000_000, errors));
  set(rollout, 'soak_seconds', duration(form.soak, 'soak_seconds', 0, errors));
  set(rollout, 'delivery_timeout_seconds', duration(form.delivery, 'delivery_timeout_seconds', 1, errors));
  set(rollout, 'quorum_percent', percentage(form.quorum, 'quorum_percent', errors));
  set(rollout, 'min_success_percent', percentage(form.minSuccess, 'min_success_percent', errors));
  if (form.onHalt !== 'drain') rollout.on_halt = form.onHalt;
  if (form.cleanup !== 'keep') rollout.cleanup = form.cleanup;
  if (form.runAsUser.trim() !== '') rollout.run_as_user = form.runAsUser.trim();
  approval(form, rollout, errors);
  times(form, rollout, errors);
  weights(form, rollout, errors);
  canary(form, rollout, errors);
}

function approval(form: RolloutForm, rollout: Rollout, errors: FieldErrors): void {
  const parts = form.approval.split(/[\s,;]+/).filter(Boolean);
  if (parts.length === 0) return;
  const waves = parts.map(Number);
  if (waves.some((wave) => !Number.isInteger(wave) || wave < 1 || wave > 100)) {
    errors['approval'] = { text: 'rollout.error.approval' };
    return;
  }
  rollout.approval = { before_waves: waves, ...(form.distinctApprover ? { distinct_approver: true } : {}) };
}

function times(form: RolloutForm, rollout: Rollout, errors: FieldErrors): void {
  if (form.expiresAt !== '') {
    const date = new Date(form.expiresAt);
    if (Number.isNaN(date.getTime())) errors['expires_at'] = { text: 'rollout.error.time' };
    else rollout.expires_at = date.toISOString();
  }
  if (form.windowFrom === '' && form.windowTo === '') return;
  if (form.windowFrom === '' || form.windowTo === '') errors['window'] = { text: 'rollout.error.window' };
  rollout.window = { from: form.windowFrom, to: form.windowTo };
  if (form.windowZone.trim() !== '') rollout.window.time_zone = form.windowZone.trim();
}

function weights(form: RolloutForm, rollout: Rollout, errors: FieldErrors): void {
  const outcomes = Object.entries(form.outcomes).filter(([, weight]) => weight !== '');
  if (outcomes.length > 0) rollout.outcomes = Object.fromEntries(outcomes);
  const codes: Record<string, string> = {};
  form.exitCodes.forEach(({ code, weight }, index) => {
    const text = code.trim();
    if (!/^-?[1-9]\d{0,9}$/.test(text)) errors[`exit_codes.${index}`] = { text: 'rollout.error.exit_code' };
    else if (text in codes) errors[`exit_codes.${index}`] = { text: 'rollout.error.exit_code.twice' };
    else codes[text] = weight;
  });
  if (Object.keys(codes).length > 0) rollout.exit_codes = codes;
}

function canary(form: RolloutForm, rollout: Rollout, errors: FieldErrors): void {
  const canary: Schemas['Canary'] = {};
  if (form.canaryBy.length < 3) canary.by = form.canaryBy;
  set(canary, 'seed', integer(form.seed, 'canary', 0, Number.MAX_SAFE_INTEGER, errors));
  if (!form.preferConnected) canary.prefer_connected = false;
  if (Object.keys(canary).length > 0) rollout.canary = canary;
}

function set<O extends object, K extends keyof O>(target: O, key: K, value: O[K] | undefined): void {
  if (value !== undefined) target[key] = value;
}

function inRange(value: number, field: string, min: number, max: number, errors: FieldErrors): number {
  if (value < min || value > max) errors[field] = { text: 'rollout.error.range', values: { min, max } };
  return value;
}

function integer(text: string, field: string, min: number, max: number, errors: FieldErrors): number | undefined {
  const trimmed = String(text).trim().replace(/(\d)[ ,_](?=\d{3}\b)/g, '$1');
  if (trimmed === '') return undefined;
  if (!/^\d+$/.test(trimmed)) {
    errors[field] = { text: 'rollout.error.integer' };
    return undefined;
  }
  return inRange(Number(trimmed), field, min, max, errors);
}

function percentage(text: string, field: string, errors: FieldErrors): number | undefined {
  const trimmed = String(text).trim().replace(/\s*%$/, '');
  if (trimmed === '') return undefined;
  if (!/^\d+(\.\d{1,2})?$/.test(trimmed)) {
    errors[field] = { text: 'rollout.error.percent' };
    return undefined;
  }
  return inRange(Number(trimmed), field, 0.01, 100, errors);
}

const UNIT_SECONDS: Record<string, number> = { '': 1, s: 1, m: 60, min: 60, h: 3_600, d: 86_400 };
const MAX_SECONDS = 2_592_000;

/** Reads `90`, `90s`, `10m`, `8h`, `2d` as seconds. */
function duration(text: string, field: string, min: number, errors: FieldErrors): number | undefined {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === '') return undefined;
  const match = /^(\d{1,9})\s*(s|m|min|h|d|)$/.exec(trimmed);
  if (!match) {
    errors[field] = { text: 'rollout.error.duration' };
    return undefined;
  }
  return inRange(Number(match[1]) * (UNIT_SECONDS[match[2] ?? ''] ?? 1), field, min, MAX_SECONDS, errors);
}

/** Field of the form for the path with which a message of the API begins; `null` for none. */
export function fieldOf(message: string): { field: string; text: string } | null {
  const match = /^([a-z_]+(?:\[\d+\])?(?:\.[A-Za-z0-9_-]+(?:\[\d+\])?)*): (.+)$/s.exec(message);
  if (!match) return null;
  const path = match[1] ?? '';
  const text = match[2] ?? '';
  const wave = /^rollout\.waves\[(\d+)\](\.fail_threshold)?/.exec(path);
  if (wave) return { field: `waves.${wave[1]}.${wave[2] ? 'threshold' : 'size'}`, text };
  const field = path.replace(/^rollout\./, '').replace(/[.[].*$/, '');
  return { field: field === 'command_type' ? 'command' : field, text };
}

interface PlanOfPreview {
  gray: boolean;
  seed: number;
  canaries: { desktop_id: string }[];
}

/** The request with seed and canaries of its preview, which make the task's plan hash equal the preview's. */
export function withPlan(body: ExecutionBody, plan: PlanOfPreview): ExecutionBody {
  const canaries = plan.canaries.map((canary) => canary.desktop_id);
  const pinned: ExecutionBody = { ...body, rollout: { ...body.rollout, canary: { ...body.rollout?.canary, seed: plan.seed } } };
  if (!plan.gray || canaries.length === 0) return pinned;
  if (body.rollout?.waves) {
    pinned.rollout = { ...pinned.rollout, canary: { ...pinned.rollout?.canary, desktop_ids: canaries } };
  } else pinned.gray_resource_ids = canaries;
  return pinned;
}
