import { describe, expect, test } from 'vitest';

import { ACTIONS, checksFor, resourceOf } from '../../src/views/access/actions';
import { credentialState, parseDocument } from '../../src/views/access/lists';
import { resourceParts } from '../../src/views/audit/links';
import { asNative, nativeQuery, needsNative, parseTag, readFilter } from '../../src/views/desktops/filter';
import { matchesText } from '../../src/views/scripts/search';

describe('access', () => {
  test('simulator_asks_one_action_or_all', () => {
    expect(checksFor('graywave:tasks:pause', '')).toEqual([{ resource: 'task:*', actions: ['graywave:tasks:pause'] }]);
    expect(checksFor('', 'desktop:d1')).toEqual([{ resource: 'desktop:d1', actions: ACTIONS.map((one) => one.action) }]);
    expect(checksFor('', '').map((check) => check.resource)).toContain('task:*');
    expect(resourceOf('no:such:action')).toBe('*');
  });

  test('each_action_occurs_once', () => {
    expect(new Set(ACTIONS.map((one) => one.action)).size).toBe(ACTIONS.length);
  });

  test('revoked_precedes_expired', () => {
    const now = Date.parse('2026-12-01T00:00:00Z');
    expect(credentialState({ revoke_time: '2026-01-01T00:00:00Z', expire_time: '2026-01-02T00:00:00Z' }, now)).toBe('REVOKED');
    expect(credentialState({ expire_time: '2026-12-01T00:00:00Z' }, now)).toBe('EXPIRED');
    expect(credentialState({ expire_time: null }, now)).toBe('VALID');
  });

  test('policy_text_that_is_no_object_is_an_error', () => {
    expect(parseDocument('{"Version": "5.0", "Statement": []}')).toHaveProperty('document');
    expect(parseDocument('[]')).toHaveProperty('error');
    expect(parseDocument('{')).toHaveProperty('error');
  });
});

describe('audit', () => {
  test('resources_with_a_view_are_links', () => {
    expect(resourceParts('task:t1 desktop:d/1 policy:p desktop:*')).toEqual([
      { text: 'task:t1', path: '/tasks/t1' },
      { text: 'desktop:d/1', path: '/desktops/d%2F1' },
      { text: 'policy:p', path: null },
      { text: 'desktop:*', path: null },
    ]);
  });
});

describe('desktops', () => {
  test('filters_come_from_the_address', () => {
    const filter = readFilter(new URLSearchParams('tag=a=b,c=d&pool=p&sort=nonsense'));
    expect(nativeQuery(filter)).toMatchObject({ tag: ['a=b', 'c=d'], desktop_pool_id: ['p'] });
    expect(filter.sort).toBe('');
  });

  test('sorted_list_lacks_some_filters', () => {
    expect(needsNative(readFilter(new URLSearchParams('q=desk')))).toBe(true);
    expect(needsNative(readFilter(new URLSearchParams('tag=a=b&sort=created')))).toBe(false);
  });

  test('published_row_becomes_a_native_one', () => {
    const row = { desktop_id: 'd', computer_name: 'n', status: 'ACTIVE', tags: [{ key: 'ring', value: 'pilot' }] };
    expect(asNative(row as Parameters<typeof asNative>[0])).toMatchObject({ desktop_id: 'd', connected: true, tags: { ring: 'pilot' } });
  });

  test('tag_is_a_name_and_a_value', () => {
    expect(parseTag(' ring = pilot ')).toEqual({ name: 'ring', value: 'pilot' });
    expect(parseTag('ring=')).toEqual({ name: 'ring', value: '' });
    expect(parseTag('ring')).toBeNull();
    expect(parseTag('=x')).toBeNull();
  });
});

describe('scripts', () => {
  test('search_looks_into_name_id_and_description', () => {
    const script = { name: 'Patch.sh', script_id: 'abc1', description: 'Frees the disk' };
    expect(['patch', 'ABC', 'disk', ''].map((text) => matchesText(script, text))).toEqual([true, true, true, true]);
    expect(matchesText(script, 'other')).toBe(false);
  });
});
