import { quoteShell } from '../../lib/shell';
import type { ExecutionBody } from './body';

/** Ids that a command line names; longer lists go through a file. */
const MAX_NAMED_IDS = 20;

type Threshold = { count?: number | null; percent?: number | null; min_results?: number | null };

/** `graywave run` with the same effect as the request. */
export function cliLine(body: ExecutionBody, justification: { reason?: string; ticket?: string } = {}): string {
  const words: string[] = ['graywave', 'run'];
  const flag = (name: string, value: string | number | null | undefined) => {
    if (value !== null && value !== undefined && value !== '') words.push(`--${name}`, quoteShell(String(value)));
  };
  for (const id of body.script_ids ?? []) flag('script', id);
  for (const [name, value] of Object.entries(body.parameters ?? {})) flag('param', `${name}=${value}`);
  if (body.command_type && body.command_type !== 'SHELL') flag('type', body.command_type);
  desktops(body, flag);
  plan(body, flag, words);
  settings(body, flag, words);
  flag('reason', justification.reason);
  flag('ticket', justification.ticket);
  if (body.command !== null && body.command !== undefined) words.push('--', quoteShell(body.command));
  return words.join(' ');
}

type Flag = (name: string, value: string | number | null | undefined) => void;

function desktops(body: ExecutionBody, flag: Flag): void {
  for (const tag of (body.desktop_tag ?? '').split(',').filter(Boolean)) flag('tag', tag);
  flag('pool', body.desktop_pool_id);
  const ids = body.resource_ids ?? [];
  if (ids.length > MAX_NAMED_IDS) flag('desktops-file', 'desktops.txt');
  else flag('desktop', ids.join(','));
}

function plan(body: ExecutionBody, flag: Flag, words: string[]): void {
  flag('canary', body.gray_count);
  flag('fail-threshold', body.gray_fail_threshold);
  const grayIds = body.gray_resource_ids ?? body.rollout?.canary?.desktop_ids ?? [];
  flag('canary-desktop', grayIds.join(','));
  const waves = body.rollout?.waves;
  if (waves) {
    const sizes = waves.map((wave) => {
      const size = wave.rest ? 'rest' : wave.percent ? `${wave.percent}%` : String(wave.count ?? '');
      return wave.fail_threshold ? `${size}:${thresholdText(wave.fail_threshold)}` : size;
    });
    flag('waves', sizes.join(','));
  }
  // The command line adds thresholds to waves that have none; the request does not.
  if (waves || body.gray_count || body.gray_resource_ids) words.push('--no-guard');
}

function settings(body: ExecutionBody, flag: Flag, words: string[]): void {
  const rollout = body.rollout ?? {};
  if (body.execution_timeout) flag('execution-timeout', `${body.execution_timeout}m`);
  if (rollout.fail_threshold) flag('total-fail-threshold', thresholdText(rollout.fail_threshold));
  if (rollout.strict) words.push('--strict');
  flag('on-halt', rollout.on_halt);
  flag('min-success', rollout.min_success_percent);
  flag('max-concurrency', rollout.max_concurrency);
  if (rollout.soak_seconds) flag('soak', `${rollout.soak_seconds}s`);
  flag('approve-before', rollout.approval?.before_waves?.join(','));
  if (rollout.approval?.distinct_approver) words.push('--distinct-approver');
  if (rollout.delivery_timeout_seconds) flag('delivery-timeout', `${rollout.delivery_timeout_seconds}s`);
  flag('quorum', rollout.quorum_percent);
  flag('expires-at', rollout.expires_at);
  if (rollout.window) {
    const { from, to, time_zone: zone } = rollout.window;
    flag('window', `${from}-${to}${zone && zone !== 'desktop' ? `@${zone}` : ''}`);
  }
  for (const [name, weight] of Object.entries(rollout.outcomes ?? {})) flag('outcome', `${name}=${weight}`);
  for (const [code, weight] of Object.entries(rollout.exit_codes ?? {})) flag('exit-code', `${code}=${weight}`);
  flag('run-as', rollout.run_as_user);
  flag('cleanup', rollout.cleanup);
  for (const by of rollout.canary?.by ?? []) flag('canary-by', by);
  if (rollout.canary?.prefer_connected === false) words.push('--any-canary');
  flag('seed', rollout.canary?.seed);
}

export function thresholdText(threshold: Threshold): string {
  if (threshold.percent) return `${threshold.percent}%${threshold.min_results ? `/${threshold.min_results}` : ''}`;
  return String(threshold.count ?? '');
}
