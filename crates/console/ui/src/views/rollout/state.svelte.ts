import { api, ApiError, call, idempotencyKey, isAbort, type Schemas } from '../../api/client';
import { session } from '../../api/session.svelte';
import { t } from '../../i18n/index.svelte';
import { parseIds, type IdList } from '../../lib/ids';
import { router } from '../../lib/router.svelte';
import { errorText, toasts } from '../../lib/toasts.svelte';
import { buildBody, fieldOf, withPlan, type Built, type ExecutionBody } from './body';
import { dropDraft, emptyForm, loadDraft, saveDraft, type Draft, type RolloutForm } from './form';
import { fillFromLink, linkOf } from './prefill';

export type Preview = Schemas['NativePreview'];
type Submitted = Schemas['SubmittedTask'];

/** A plan that the server has shown for exactly one request. */
interface Shown {
  body: ExecutionBody;
  plan: Preview;
  /** Key of the submission; the same decision sent twice starts one task. */
  idempotencyKey: string;
}

/** The form, its preview and its submission. */
export class RolloutState {
  form = $state<RolloutForm>(emptyForm());
  /** Pasted ids beyond what a text box should hold. */
  bulk = $state.raw<readonly string[]>([]);
  private bulkDuplicates = $state(0);
  /** Number of ids that a reload has lost, because they were too many to keep. */
  lostIds = $state(0);
  justification = $state<{ reason?: string; ticket?: string }>({});
  shown = $state.raw<Shown | null>(null);
  isPreviewing = $state(false);
  isStarting = $state(false);
  isFilling = $state(false);
  /** Edited text of a saved script that is not saved as a revision yet. */
  hasUnsavedScript = $state(false);
  /** Failure of the last preview or submission, for the request that it was about. */
  private failure = $state.raw<{ body: ExecutionBody; error: unknown } | null>(null);
  /** Whether errors of empty fields are shown: only after the first attempt. */
  private isAsked = $state(false);
  private source = '';
  /** Whether the rollout has started, so that nothing is left to keep. */
  private isDone = false;
  private controller: AbortController | null = null;

  readonly list: IdList = $derived(
    this.form.ids.trim() === '' ? { ids: this.bulk as string[], duplicates: 0, repeated: [] } : parseIds(this.bulk, this.form.ids),
  );
  /** Repetitions in the input, also those of pasted lists. */
  readonly duplicates: number = $derived(this.list.duplicates + this.bulkDuplicates);
  readonly built: Built = $derived(buildBody(this.form, this.list.ids));
  /** The preview, while nothing of the request has changed since. */
  readonly preview: Preview | null = $derived(this.shown && this.shown.body === this.built.body ? this.shown.plan : null);
  readonly isStale: boolean = $derived(this.shown !== null && this.preview === null);
  readonly error: unknown = $derived(this.failure && this.failure.body === this.built.body ? this.failure.error : null);
  readonly serverField = $derived(this.error instanceof ApiError ? fieldOf(this.error.message) : null);
  readonly canStart: boolean = $derived(this.preview !== null && !this.hasUnsavedScript && !this.isStarting && !this.isPreviewing);

  /** Text of the error at a field. */
  errorAt(field: string): string | undefined {
    const own = this.built.errors[field];
    const isEmptyField = own && ['command', 'script_ids', 'resource_ids', 'desktop_tag', 'desktop_pool_id'].includes(field);
    if (own && (this.isAsked || !isEmptyField)) return t(own.text, own.values);
    return this.serverField?.field === field ? this.serverField.text : undefined;
  }

  /** Restores the tab's draft, or fills the form from the link. */
  async start(): Promise<void> {
    const link = linkOf(router.route.query);
    const draft = loadDraft(session.projectId);
    if (draft && (link === '' || draft.source === link)) return this.accept(draft);
    if (link === '') return;
    this.source = link;
    const controller = this.abortable();
    this.isFilling = true;
    try {
      this.accept(await fillFromLink(link, controller.signal));
    } catch (error) {
      toasts.error(error);
    } finally {
      this.isFilling = false;
    }
  }

  /** Keeps the draft in the tab, and what can be linked in the address. */
  keep(): void {
    if (this.isDone) return;
    this.link();
    const draft: Draft = { form: $state.snapshot(this.form), bulk: this.bulk as string[], source: this.source, lostIds: 0 };
    if (!saveDraft(session.projectId, draft)) saveDraft(session.projectId, { ...draft, bulk: [], lostIds: draft.bulk.length });
  }

  private link(): void {
    if (router.route.segments[0] !== 'new' || router.query('task')) return;
    const { form } = this;
    router.setQuery({
      script: form.work === 'saved' ? form.scripts.map((script) => script.id).join(',') : null,
      tag: form.targets === 'tag' ? form.tag.trim() : null,
      pool: form.targets === 'pool' ? form.pool.trim() : null,
      desktop: null,
    });
    this.source = linkOf(router.route.query);
  }

  /** Fills the form again when the address has another link than the one that filled it. */
  follow(link: string): void {
    if (link !== '' && link !== this.source && !this.isFilling) void this.start();
  }

  reset(): void {
    dropDraft(session.projectId);
    this.accept({ form: emptyForm(), bulk: [], source: '', lostIds: 0 });
    this.justification = {};
    this.shown = null;
    this.isAsked = false;
    router.replace('/new');
  }

  async ask(): Promise<void> {
    this.isAsked = true;
    const { body, errors } = this.built;
    if (Object.keys(errors).length > 0 || this.hasUnsavedScript) return focusFirstError();
    const controller = this.abortable();
    this.isPreviewing = true;
    this.failure = null;
    try {
      const options = { body, signal: controller.signal, justification: this.justification };
      const plan = await call<Preview>('POST', '/executions/preview', options);
      this.shown = { body, plan, idempotencyKey: idempotencyKey() };
    } catch (error) {
      if (isAbort(error)) return;
      this.failure = { body, error };
      focusFirstError();
    } finally {
      if (this.controller === controller) this.isPreviewing = false;
    }
  }

  async submit(): Promise<void> {
    const shown = this.shown;
    if (!shown || !this.canStart) return;
    this.isStarting = true;
    try {
      const task = await call<Submitted>('POST', '/executions', {
        body: withPlan(shown.body, shown.plan),
        idempotencyKey: shown.idempotencyKey,
        justification: this.justification,
      });
      this.isDone = true;
      dropDraft(session.projectId);
      await this.compare(task, shown.plan);
      router.go(`/tasks/${task.task_id}`);
    } catch (error) {
      this.failure = { body: shown.body, error };
      if (!(error instanceof ApiError) || !error.isTransient) this.shown = null;
      focusFirstError();
    } finally {
      this.isStarting = false;
    }
  }

  /** A task whose plan is not the one that was shown waits, paused, for the person. */
  private async compare(task: Submitted, plan: Preview): Promise<void> {
    if (task.plan_hash === plan.plan_hash && (!task.script_hash || task.script_hash === plan.script_hash)) {
      toasts.done(t('rollout.started'));
      return;
    }
    const values = { planned: plan.target_count, n: task.target_count };
    try {
      await api.post('/tasks/{task_id}/pause', { path: { task_id: task.task_id }, idempotencyKey: idempotencyKey() });
      toasts.warn(t('rollout.differs.paused', values));
    } catch (error) {
      toasts.warn(t('rollout.differs', values), errorText(error));
    }
  }

  stop(): void {
    this.controller?.abort();
  }

  private accept(draft: Draft): void {
    this.form = draft.form;
    this.bulk = draft.bulk;
    this.source = draft.source;
    this.lostIds = draft.lostIds;
    this.bulkDuplicates = 0;
  }

  /** Adds pasted text to the list outside the text box, together with what the box has. */
  addBulk(text: string): void {
    const list = parseIds(this.bulk, this.form.ids, text);
    this.bulk = list.ids;
    this.bulkDuplicates += list.duplicates;
    this.lostIds = 0;
    this.form.ids = '';
  }

  clearBulk(): void {
    this.bulk = [];
    this.bulkDuplicates = 0;
  }

  private abortable(): AbortController {
    this.controller?.abort();
    this.controller = new AbortController();
    return this.controller;
  }
}

/** Brings the first field with an error into view and the keyboard to it. */
function focusFirstError(): void {
  requestAnimationFrame(() => {
    const field = document.querySelector('[data-field].bad, .problem[role="alert"]');
    field?.scrollIntoView({ block: 'center', behavior: 'smooth' });
    field?.querySelector<HTMLElement>('input, select, textarea')?.focus({ preventScroll: true });
  });
}
