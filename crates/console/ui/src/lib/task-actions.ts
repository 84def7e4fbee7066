import { api, call, idempotencyKey } from '../api/client';
import type { Task } from '../api/types';
import type { Command } from '../components/Equivalent.svelte';

export interface Justification {
  reason?: string;
  ticket?: string;
}

export const ACTIONS = {
  pause: 'graywave:tasks:pause',
  resume: 'graywave:tasks:resume',
  approve: 'graywave:tasks:approve',
  stop: 'workspace:scripts:stop',
  retry: 'workspace:scripts:retry',
  execute: 'workspace:scripts:execute',
  concurrency: 'graywave:tasks:setConcurrency',
  freeze: 'graywave:project:freeze',
  unfreeze: 'graywave:project:unfreeze',
} as const;

const path = (taskId: string) => ({ path: { task_id: taskId } });
const key = () => ({ idempotencyKey: idempotencyKey() });

export const pause = (taskId: string): Promise<Task> => api.post('/tasks/{task_id}/pause', { ...path(taskId), ...key() });
export const resume = (taskId: string): Promise<Task> => api.post('/tasks/{task_id}/resume', { ...path(taskId), ...key() });

export const stop = (taskId: string, mode: 'drain' | 'kill', justification: Justification): Promise<Task> =>
  api.post('/tasks/{task_id}/stop', { ...path(taskId), ...key(), body: { mode }, justification });

export const retry = (taskId: string, justification: Justification): Promise<{ task_id: string }> =>
  call('POST', `/tasks/${encodeURIComponent(taskId)}/retry`, { ...key(), justification });

export const setConcurrency = (taskId: string, limit: number | null): Promise<Task> =>
  api.post('/tasks/{task_id}/concurrency', { ...path(taskId), ...key(), body: { max_concurrency: limit } });

/** Approves the wave as the person saw it: another plan, script or hold is a conflict. */
export function approve(task: Task, wave: number, hold: string | null, justification: Justification): Promise<Task> {
  const body = { plan_hash: task.plan_hash, script_hash: task.script_hash, hold };
  const values = { path: { task_id: task.task_id, wave } };
  return api.post('/tasks/{task_id}/waves/{wave}/approve', { ...values, ...key(), body, justification });
}

export const freeze = (justification: Justification) => api.post('/freeze', { ...key(), justification });
export const unfreeze = (justification: Justification) => api.delete('/freeze', { justification });

/** The same actions for a shell. */
export const commands = {
  pause: (id: string): Command => ({ cli: `graywave pause ${id}`, rest: { method: 'POST', path: `/tasks/${id}/pause` } }),
  resume: (id: string): Command => ({ cli: `graywave resume ${id}`, rest: { method: 'POST', path: `/tasks/${id}/resume` } }),
  stop: (id: string, mode: 'drain' | 'kill'): Command => ({
    cli: `graywave stop ${id} --mode ${mode}`,
    rest: { method: 'POST', path: `/tasks/${id}/stop`, body: { mode } },
  }),
  retry: (id: string): Command => ({ cli: `graywave retry ${id}`, rest: { method: 'POST', path: `/tasks/${id}/retry` } }),
  approve: (task: Task, wave: number, hold: string | null): Command => ({
    cli: `graywave approve ${task.task_id} ${wave}${hold === 'NO_EVIDENCE' ? ' --without-evidence' : ''}`,
    rest: {
      method: 'POST',
      path: `/tasks/${task.task_id}/waves/${wave}/approve`,
      body: { plan_hash: task.plan_hash, script_hash: task.script_hash, hold },
    },
  }),
  concurrency: (id: string, limit: number | null): Command => ({
    cli: `graywave concurrency ${id} ${limit ?? 'unlimited'}`,
    rest: { method: 'POST', path: `/tasks/${id}/concurrency`, body: { max_concurrency: limit } },
  }),
  freeze: (): Command => ({ cli: 'graywave freeze', rest: { method: 'POST', path: '/freeze' } }),
  unfreeze: (): Command => ({ cli: 'graywave unfreeze', rest: { method: 'DELETE', path: '/freeze' } }),
};
