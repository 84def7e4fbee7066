import { ApiError, call } from '../api/client';

export interface Permission {
  /** `true` until the server has answered, so that nothing flickers; the server refuses in any case. */
  allowed: boolean;
  action: string;
  resource: string;
  message: string;
}

interface Answer {
  results: { resource: string; allowed: string[]; denied: { action: string; reason: string; message: string }[] }[];
}

const LIFE_MS = 60_000;
const MAX_CHECKS = 500;

/**
 * "What may I": questions of one moment go to the server in one call, and answers are kept for a minute.
 * Use it in markup: `may('graywave:tasks:pause', 'task:ID').allowed`.
 */
class Permissions {
  private answers = new Map<string, { permission: Permission; atMs: number }>();
  private asked = new Map<string, Set<string>>();
  private isScheduled = false;
  /** Whether the server has the call; an older one has not. */
  private isSupported = true;
  private version = $state(0);

  check(action: string, resource: string): Permission {
    void this.version;
    const known = this.answers.get(`${action}\n${resource}`);
    if ((!known || Date.now() - known.atMs > LIFE_MS) && this.isSupported) this.ask(action, resource);
    return known?.permission ?? { allowed: true, action, resource, message: '' };
  }

  forget(): void {
    this.answers.clear();
    this.isSupported = true;
    queueMicrotask(() => this.version++);
  }

  private ask(action: string, resource: string): void {
    const actions = this.asked.get(resource) ?? new Set();
    actions.add(action);
    this.asked.set(resource, actions);
    if (this.isScheduled) return;
    this.isScheduled = true;
    setTimeout(() => void this.flush(), 10);
  }

  private async flush(): Promise<void> {
    this.isScheduled = false;
    const checks = [...this.asked].slice(0, MAX_CHECKS).map(([resource, actions]) => ({ resource, actions: [...actions] }));
    for (const check of checks) this.asked.delete(check.resource);
    if (this.asked.size > 0) this.ask(...firstPair(this.asked));
    try {
      const answer = await call<Answer>('POST', '/access/allowed', { body: { checks }, background: true });
      for (const result of answer.results) this.keep(result);
      this.version++;
    } catch (error) {
      if (error instanceof ApiError && (error.status === 404 || error.status === 405)) this.isSupported = false;
    }
  }

  private keep(result: Answer['results'][number]): void {
    const atMs = Date.now();
    const { resource } = result;
    for (const action of result.allowed) {
      this.answers.set(`${action}\n${resource}`, { permission: { allowed: true, action, resource, message: '' }, atMs });
    }
    for (const { action, message } of result.denied) {
      this.answers.set(`${action}\n${resource}`, { permission: { allowed: false, action, resource, message }, atMs });
    }
  }
}

function firstPair(asked: Map<string, Set<string>>): [string, string] {
  for (const [resource, actions] of asked) for (const action of actions) return [action, resource];
  throw new Error('no question is left');
}

export const permissions = new Permissions();
export const may = (action: string, resource = '*'): Permission => permissions.check(action, resource);
