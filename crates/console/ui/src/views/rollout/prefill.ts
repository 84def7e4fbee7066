import { api, type Schemas } from '../../api/client';
import { parseOrdinals } from '../../lib/ids';
import { emptyForm, type Draft, type RolloutForm, type WaveInput } from './form';

type Task = Schemas['NativeTask'];
const PAGE_SIZE = 1_000;
/** Most desktops of a task; also the limit of an execution. */
const MAX_TARGETS = 1_000_000;

/** Parameters of the address that fill the form. Anything else in the address is not part of the link. */
export const LINK_PARAMETERS = ['script', 'tag', 'pool', 'desktop', 'task', 'group', 'without_group', 'ordinals'] as const;

export function linkOf(query: URLSearchParams): string {
  const link = new URLSearchParams();
  for (const name of LINK_PARAMETERS) for (const value of query.getAll(name)) link.append(name, value);
  return link.toString();
}

/** Fills a form from a link. */
export async function fillFromLink(link: string, signal: AbortSignal): Promise<Draft> {
  const query = new URLSearchParams(link);
  const draft: Draft = { form: emptyForm(), bulk: [], source: link, lostIds: 0 };
  const taskId = query.get('task');
  if (taskId) await fromTask(draft, taskId, query, signal);
  const scripts = query.getAll('script').flatMap((value) => value.split(',')).filter(Boolean);
  if (scripts.length > 0) {
    draft.form.work = 'saved';
    draft.form.scripts = await Promise.all(scripts.map((id) => scriptOf(id, signal)));
  }
  const desktops = query.getAll('desktop').flatMap((value) => value.split(',')).filter(Boolean);
  if (desktops.length > 0) draft.form.ids = desktops.join('\n');
  if (query.get('tag')) Object.assign(draft.form, { targets: 'tag', tag: query.get('tag') });
  if (query.get('pool')) Object.assign(draft.form, { targets: 'pool', pool: query.get('pool') });
  return draft;
}

async function scriptOf(id: string, signal: AbortSignal) {
  const script = await api.get('/scripts/{script_id}', { path: { script_id: id }, signal });
  return { id, name: script.name };
}

async function fromTask(draft: Draft, taskId: string, query: URLSearchParams, signal: AbortSignal): Promise<void> {
  const path = { task_id: taskId };
  const task = await api.get('/tasks/{task_id}', { path, signal });
  draft.form = formOfTask(task);
  const group = query.get('group');
  const without = query.get('without_group');
  const ordinals = query.get('ordinals');
  if (group) {
    draft.bulk = (await membersOf(taskId, group, signal)).map((member) => member.desktop_id);
    return;
  }
  let targets = await targetsOf(taskId, signal);
  if (ordinals) {
    const chosen = parseOrdinals(ordinals);
    targets = targets.filter((target) => chosen.has(target.ordinal));
  }
  if (without) {
    const left = new Set((await membersOf(taskId, without, signal)).map((member) => member.desktop_id));
    const succeeded = await succeededIn(taskId, signal);
    targets = targets.filter((target) => !left.has(target.desktop_id) && !succeeded.has(target.desktop_id));
  }
  draft.bulk = targets.map((target) => target.desktop_id);
}

async function membersOf(taskId: string, fingerprint: string, signal: AbortSignal) {
  const path = { task_id: taskId, fingerprint_id: fingerprint };
  return allPages(async (page_token) => {
    const page = await api.get('/tasks/{task_id}/failures/{fingerprint_id}', { path, query: { page_size: PAGE_SIZE, page_token }, signal });
    return [page.members, page.next_page_token];
  });
}

async function targetsOf(taskId: string, signal: AbortSignal) {
  return allPages(async (page_token) => {
    const page = await api.get('/tasks/{task_id}/targets', { path: { task_id: taskId }, query: { page_size: PAGE_SIZE, page_token }, signal });
    return [page.targets, page.next_page_token];
  });
}

/** Desktops of which every record succeeded: those with a success and without another result. */
async function succeededIn(taskId: string, signal: AbortSignal): Promise<Set<string>> {
  const read = (status: string[]) =>
    allPages(async (page_token) => {
      const query = { page_size: PAGE_SIZE, page_token, status };
      const page = await api.get('/tasks/{task_id}/records', { path: { task_id: taskId }, query, signal });
      return [page.records, page.next_page_token];
    });
  const succeeded = new Set((await read(['SUCCESS'])).map((record) => record.desktop_id));
  for (const record of await read(['FAILED', 'STOPPED', 'SKIPPED', 'WAITING', 'RUNNING'])) succeeded.delete(record.desktop_id);
  return succeeded;
}

async function allPages<T>(read: (token: string | undefined) => Promise<[T[], string | null | undefined]>): Promise<T[]> {
  const all: T[] = [];
  let token: string | undefined;
  do {
    const [rows, next] = await read(token);
    for (const row of rows) all.push(row);
    token = next ?? undefined;
  } while (token !== undefined && all.length < MAX_TARGETS);
  return all;
}

/** The settings of a task as input. Waves keep their sizes; the last one takes the rest. */
export function formOfTask(task: Task): RolloutForm {
  const form = emptyForm();
  if (task.command) Object.assign(form, { work: 'text', command: task.command.content, commandType: task.command.command_type });
  else {
    form.work = 'saved';
    form.scripts = task.scripts.map((script) => ({ id: script.script_id, name: script.name }));
    form.parameters = Object.assign({}, ...task.scripts.map((script) => script.parameters)) as Record<string, string>;
  }
  form.timeout = String(Math.max(1, Math.round(task.execution_timeout_ms / 60_000)));
  form.plan = task.waves.length > 1 ? 'waves' : 'one';
  if (task.waves.length > 1) form.waves = task.waves.map((wave, index) => waveOfTask(wave, index === task.waves.length - 1));
  form.threshold = task.fail_threshold ?? '';
  if (task.waves.length === 1 && form.threshold === '') form.threshold = task.waves[0]?.fail_threshold ?? '';
  form.strict = task.strict;
  form.concurrency = task.max_concurrency ? String(task.max_concurrency) : '';
  form.soak = task.soak_seconds ? `${task.soak_seconds}s` : '';
  form.approval = task.waves.filter((wave) => wave.needs_approval).map((wave) => wave.wave).join(', ');
  form.distinctApprover = task.distinct_approver;
  form.onHalt = task.on_halt === 'kill' ? 'kill' : 'drain';
  form.delivery = `${Math.round(task.delivery_timeout_ms / 1_000)}s`;
  form.quorum = task.quorum_percent ? String(task.quorum_percent) : '';
  form.minSuccess = task.min_success_percent ? String(task.min_success_percent) : '';
  form.outcomes = { ...task.outcomes } as RolloutForm['outcomes'];
  form.exitCodes = Object.entries(task.exit_codes).map(([code, weight]) => ({ code, weight: weight as 'success' }));
  form.runAsUser = task.run_as_user ?? '';
  form.cleanup = task.cleanup === 'kill' ? 'kill' : 'keep';
  return form;
}

const waveOfTask = (wave: Schemas['NativeWave'], isLast: boolean): WaveInput => ({
  size: isLast ? 'rest' : String(wave.size),
  threshold: wave.fail_threshold ?? '',
});
