import { ApiError, isAbort } from '../api/client';
import { t } from '../i18n/index.svelte';

export interface Toast {
  id: number;
  kind: 'done' | 'warn' | 'error';
  text: string;
  detail: string;
}

const LIFE_MS = 6_000;
const MAX = 4;

class Toasts {
  list = $state.raw<Toast[]>([]);
  private next = 1;

  done(text: string): void {
    this.add('done', text, '');
  }
  warn(text: string, detail = ''): void {
    this.add('warn', text, detail);
  }
  /** Shows why a change failed. Errors stay until they are dismissed. */
  error(error: unknown): void {
    if (isAbort(error)) return;
    const detail = error instanceof ApiError && error.requestId ? t('common.error.request', { id: error.requestId }) : '';
    this.add('error', errorText(error), detail);
  }
  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  private add(kind: Toast['kind'], text: string, detail: string): void {
    const toast = { id: this.next++, kind, text, detail };
    this.list = [...this.list, toast].slice(-MAX);
    if (kind !== 'error') setTimeout(() => this.dismiss(toast.id), LIFE_MS);
  }
}

export function errorText(error: unknown): string {
  if (error instanceof ApiError && error.status === 0) return t('common.error.offline');
  return error instanceof Error ? error.message : String(error);
}

export const toasts = new Toasts();

/** Runs a change and shows its failure; returns whether it succeeded. */
export async function attempt(change: () => Promise<unknown>): Promise<boolean> {
  try {
    await change();
    return true;
  } catch (error) {
    toasts.error(error);
    return false;
  }
}
