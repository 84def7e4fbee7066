import { describe, expect, test } from 'vitest';

import { buildBody, fieldOf, withPlan } from '../../src/views/rollout/body';
import { cliLine } from '../../src/views/rollout/cli';
import { changedSettings, emptyForm, loadDraft, saveDraft, type RolloutForm } from '../../src/views/rollout/form';
import { formOfTask, linkOf } from '../../src/views/rollout/prefill';

const form = (patch: Partial<RolloutForm> = {}): RolloutForm => ({ ...emptyForm(), command: 'uname -n', ...patch });

class MemoryStorage {
  private items = new Map<string, string>();
  constructor(private readonly limit = Infinity) {}
  getItem = (key: string) => this.items.get(key) ?? null;
  setItem = (key: string, value: string) => {
    if (value.length > this.limit) throw new DOMException('full', 'QuotaExceededError');
    this.items.set(key, value);
  };
  removeItem = (key: string) => void this.items.delete(key);
}
const storage = (limit?: number) => new MemoryStorage(limit) as unknown as Storage;

describe('request', () => {
  test('gray_form_gives_the_published_fields', () => {
    const { body, errors } = buildBody(form({ grayCount: '2', grayThreshold: '1' }), ['a', 'b', 'c']);
    expect(errors).toEqual({});
    expect(body).toEqual({ command: 'uname -n', command_type: 'SHELL', resource_ids: ['a', 'b', 'c'], gray_count: 2, gray_fail_threshold: 1 });
  });

  test('waves_form_gives_the_rollout_object', () => {
    const waves = [{ size: '5', threshold: '1' }, { size: '10 %', threshold: '2.5%/50' }, { size: 'REST', threshold: '' }];
    const { body, errors } = buildBody(form({ plan: 'waves', waves, threshold: '20', soak: '10m', approval: '2; 3', strict: true }), ['a']);
    expect(errors).toEqual({});
    expect(body.rollout).toEqual({
      waves: [{ count: 5, fail_threshold: { count: 1 } }, { percent: 10, fail_threshold: { percent: 2.5, min_results: 50 } }, { rest: true }],
      fail_threshold: { count: 20 },
      strict: true,
      soak_seconds: 600,
      approval: { before_waves: [2, 3] },
    });
    expect(body.gray_count).toBeUndefined();
  });

  test('tag_and_pool_name_no_ids', () => {
    expect(buildBody(form({ targets: 'tag', tag: ' ring=pilot ' }), ['a']).body).toMatchObject({ desktop_tag: 'ring=pilot' });
    const pool = buildBody(form({ targets: 'pool', pool: 'p1' }), ['a']).body;
    expect(pool.desktop_pool_id).toBe('p1');
    expect(pool.resource_ids).toBeUndefined();
  });

  test('each_wrong_input_is_an_error_at_its_field', () => {
    const wrong = form({
      command: ' ',
      plan: 'waves',
      waves: [{ size: '0', threshold: '0' }, { size: 'half', threshold: '2/3' }],
      concurrency: '1.5',
      soak: 'soon',
      quorum: '101',
      approval: '0',
      windowFrom: '22:00',
      exitCodes: [{ code: '0', weight: 'halt' }, { code: '7', weight: 'halt' }, { code: '7', weight: 'count' }],
    });
    expect(Object.keys(buildBody(wrong, []).errors).sort()).toEqual(
      ['approval', 'command', 'exit_codes.0', 'exit_codes.2', 'max_concurrency', 'quorum_percent', 'resource_ids', 'soak_seconds', 'waves.0.size', 'waves.0.threshold', 'waves.1.size', 'waves.1.threshold', 'window'],
    );
  });

  test('thousands_may_have_separators', () => {
    expect(buildBody(form({ concurrency: '1,000' }), ['a']).body.rollout?.max_concurrency).toBe(1000);
  });
});

describe('field of a message', () => {
  test('path_of_the_api_names_the_field_of_the_form', () => {
    expect(fieldOf('rollout.waves[1].fail_threshold.count: 0 is out of range')).toEqual({ field: 'waves.1.threshold', text: '0 is out of range' });
    expect(fieldOf('rollout.waves[0].count: too small')?.field).toBe('waves.0.size');
    expect(fieldOf('rollout.window.to: "2" is not a time like 22:00')?.field).toBe('window');
    expect(fieldOf('resource_ids: desktops do not exist: x')?.field).toBe('resource_ids');
  });

  test('message_without_a_field_names_none', () => {
    expect(fieldOf('the request took too long')).toBeNull();
    expect(fieldOf('no answer: try again')).toBeNull();
  });
});

describe('plan of the preview', () => {
  const plan = { gray: true, seed: 7, canaries: [{ desktop_id: 'b' }, { desktop_id: 'a' }] };

  test('gray_request_gets_the_canaries_as_gray_ids', () => {
    const { body } = buildBody(form({ grayCount: '2' }), ['a', 'b', 'c']);
    expect(withPlan(body, plan)).toMatchObject({ gray_count: 2, gray_resource_ids: ['b', 'a'], rollout: { canary: { seed: 7 } } });
  });

  test('waves_get_the_canaries_inside_the_rollout', () => {
    const { body } = buildBody(form({ plan: 'waves', canaryBy: ['os'] }), ['a', 'b', 'c']);
    const pinned = withPlan(body, plan);
    expect(pinned.rollout?.canary).toEqual({ by: ['os'], seed: 7, desktop_ids: ['b', 'a'] });
    expect(pinned.gray_resource_ids).toBeUndefined();
    expect(body.rollout?.canary).toEqual({ by: ['os'] });
  });
});

describe('command line', () => {
  test('line_has_every_setting_of_the_request', () => {
    const { body } = buildBody(form({ plan: 'waves', waves: [{ size: '1', threshold: '1' }, { size: 'rest', threshold: '' }], soak: '90s', exitCodes: [{ code: '3010', weight: 'success' }], command: "echo 'a b'" }), ['d1', 'd2']);
    expect(cliLine(body, { reason: 'fix it', ticket: 'OPS-1' })).toBe(
      "graywave run --desktop d1,d2 --waves 1:1,rest --no-guard --soak 90s --exit-code 3010=success --reason 'fix it' --ticket OPS-1 -- 'echo '\\''a b'\\'''",
    );
  });

  test('long_list_of_ids_goes_through_a_file', () => {
    const ids = Array.from({ length: 21 }, (_, index) => `d${index}`);
    expect(cliLine(buildBody(form(), ids).body)).toContain('--desktops-file desktops.txt');
  });
});

describe('draft', () => {
  test('reload_gives_the_same_form', () => {
    const tab = storage();
    saveDraft('p', { form: form({ ids: 'a b', plan: 'waves' }), bulk: ['c'], source: 'tag=x', lostIds: 0 }, tab);
    expect(loadDraft('p', tab)).toEqual({ form: form({ ids: 'a b', plan: 'waves' }), bulk: ['c'], source: 'tag=x', lostIds: 0 });
    expect(loadDraft('other', tab)).toBeNull();
  });

  test('draft_of_an_older_console_gets_the_new_fields', () => {
    const tab = storage();
    tab.setItem('graywave-new-rollout:p', JSON.stringify({ form: { command: 'true' } }));
    expect(loadDraft('p', tab)?.form).toEqual({ ...emptyForm(), command: 'true' });
  });

  test('list_that_is_too_long_to_keep_is_counted', () => {
    const tab = storage();
    saveDraft('p', { form: form(), bulk: Array.from({ length: 100_001 }, (_, index) => `d${index}`), source: '', lostIds: 0 }, tab);
    expect(loadDraft('p', tab)).toMatchObject({ bulk: [], lostIds: 100_001 });
  });

  test('full_storage_is_no_error', () => {
    expect(saveDraft('p', { form: form(), bulk: [], source: '', lostIds: 0 }, storage(10))).toBe(false);
  });

  test('changed_settings_are_counted', () => {
    expect(changedSettings(emptyForm())).toBe(0);
    expect(changedSettings(form({ strict: true, soak: '5m', exitCodes: [{ code: '1', weight: 'halt' }], canaryBy: ['os'] }))).toBe(4);
  });
});

describe('links', () => {
  test('only_the_parameters_of_links_count', () => {
    expect(linkOf(new URLSearchParams('task=t&x=1&group=g'))).toBe('task=t&group=g');
  });

  test('task_gives_its_settings', () => {
    const wave = { status: 'CLOSED', first_ordinal: 0, admitted: 0, in_flight: 0, waiting: 0, failed: 0, targets: {}, records: {} };
    const task = {
      command: { content: 'true', command_type: 'SHELL' },
      scripts: [],
      execution_timeout_ms: 120_000,
      delivery_timeout_ms: 600_000,
      waves: [{ ...wave, wave: 1, size: 5, fail_threshold: '1', needs_approval: false }, { ...wave, wave: 2, size: 95, needs_approval: true }],
      strict: true,
      soak_seconds: 60,
      distinct_approver: false,
      on_halt: 'kill',
      outcomes: { UNDELIVERED: 'ignore' },
      exit_codes: { '3010': 'success' },
      cleanup: 'keep',
    } as unknown as Parameters<typeof formOfTask>[0];
    expect(formOfTask(task)).toMatchObject({
      work: 'text',
      command: 'true',
      timeout: '2',
      plan: 'waves',
      waves: [{ size: '5', threshold: '1' }, { size: 'rest', threshold: '' }],
      approval: '2',
      soak: '60s',
      onHalt: 'kill',
      exitCodes: [{ code: '3010', weight: 'success' }],
    });
  });
});
