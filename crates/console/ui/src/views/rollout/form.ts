import type { ScriptType } from '../../lib/lint';

/** Input of the view, as a person types it. `body.ts` makes the request of it. */
export interface RolloutForm {
  work: 'text' | 'saved';
  commandType: ScriptType;
  command: string;
  scripts: ChosenScript[];
  parameters: Record<string, string>;
  timeout: string;

  targets: 'ids' | 'tag' | 'pool';
  /** Ids in the text box; a long list is in `RolloutState.bulk`. */
  ids: string;
  tag: string;
  pool: string;

  plan: 'one' | 'gray' | 'waves';
  grayCount: string;
  grayIds: string;
  grayThreshold: string;
  waves: WaveInput[];
  threshold: string;
  strict: boolean;
  concurrency: string;
  soak: string;
  approval: string;
  distinctApprover: boolean;
  onHalt: 'drain' | 'kill';
  delivery: string;
  quorum: string;
  minSuccess: string;
  expiresAt: string;
  windowFrom: string;
  windowTo: string;
  windowZone: string;
  outcomes: Record<string, '' | 'count' | 'ignore'>;
  exitCodes: ExitCodeInput[];
  canaryBy: string[];
  seed: string;
  preferConnected: boolean;
  runAsUser: string;
  cleanup: 'keep' | 'kill';
}

export interface ChosenScript {
  id: string;
  name: string;
}
export interface WaveInput {
  /** `5`, `10%` or `rest`. */
  size: string;
  /** `2`, `2.5%`, `2.5%/50`, or nothing. */
  threshold: string;
}
export interface ExitCodeInput {
  code: string;
  weight: 'success' | 'count' | 'ignore' | 'halt';
}

/** Outcomes whose weight a rollout may change, with their default. */
export const OUTCOMES = ['FAILED', 'TIMEOUT', 'UNDELIVERED', 'REJECTED', 'UNKNOWN', 'NOT_RETURNED', 'STOPPED', 'SKIPPED'] as const;
export const STRATA = ['os', 'pool', 'zone'] as const;

export const emptyForm = (): RolloutForm => ({
  work: 'text',
  commandType: 'SHELL',
  command: '',
  scripts: [],
  parameters: {},
  timeout: '',
  targets: 'ids',
  ids: '',
  tag: '',
  pool: '',
  plan: 'gray',
  grayCount: '1',
  grayIds: '',
  grayThreshold: '',
  waves: [
    { size: '1', threshold: '1' },
    { size: '10%', threshold: '2' },
    { size: 'rest', threshold: '' },
  ],
  threshold: '',
  strict: false,
  concurrency: '',
  soak: '',
  approval: '',
  distinctApprover: false,
  onHalt: 'drain',
  delivery: '',
  quorum: '',
  minSuccess: '',
  expiresAt: '',
  windowFrom: '',
  windowTo: '',
  windowZone: '',
  outcomes: {},
  exitCodes: [],
  canaryBy: [...STRATA],
  seed: '',
  preferConnected: true,
  runAsUser: '',
  cleanup: 'keep',
});

/** Keys of the plan that differ from the defaults, so that folded settings are never overlooked. */
export function changedSettings(form: RolloutForm): number {
  const start = emptyForm();
  const keys = [
    'strict',
    'concurrency',
    'soak',
    'approval',
    'distinctApprover',
    'onHalt',
    'delivery',
    'quorum',
    'minSuccess',
    'expiresAt',
    'windowFrom',
    'windowTo',
    'windowZone',
    'seed',
    'preferConnected',
    'runAsUser',
    'cleanup',
    'timeout',
  ] as const;
  const plain = keys.filter((key) => form[key] !== start[key]).length;
  const outcomes = Object.values(form.outcomes).filter(Boolean).length;
  return plain + outcomes + form.exitCodes.length + (form.canaryBy.length === STRATA.length ? 0 : 1);
}

/** Form and long id list, as the tab keeps them. Script texts never leave the tab's session. */
export interface Draft {
  form: RolloutForm;
  bulk: string[];
  /** Link that filled the form, so that a reload does not fill it again. */
  source: string;
  /** Number of ids that were too many to keep. */
  lostIds: number;
}

/** Longest list that the tab's storage of about 5 MiB holds beside the rest. */
const MAX_KEPT_IDS = 100_000;
const key = (projectId: string) => `graywave-new-rollout:${projectId}`;

export function saveDraft(projectId: string, draft: Draft, storage: Storage = sessionStorage): boolean {
  const isLong = draft.bulk.length > MAX_KEPT_IDS;
  const kept = isLong ? { ...draft, bulk: [], lostIds: draft.bulk.length } : draft;
  try {
    storage.setItem(key(projectId), JSON.stringify(kept));
    return true;
  } catch {
    return false;
  }
}

export function loadDraft(projectId: string, storage: Storage = sessionStorage): Draft | null {
  try {
    const stored = JSON.parse(storage.getItem(key(projectId)) ?? 'null') as Partial<Draft> | null;
    if (!stored?.form) return null;
    return { form: { ...emptyForm(), ...stored.form }, bulk: stored.bulk ?? [], source: stored.source ?? '', lostIds: stored.lostIds ?? 0 };
  } catch {
    return null;
  }
}

export function dropDraft(projectId: string, storage: Storage = sessionStorage): void {
  storage.removeItem(key(projectId));
}
