import { describe, expect, test } from 'vitest';

import { fillPath } from '../../src/api/client';
import { href, parseRoute } from '../../src/lib/router.svelte';
import { cleanLine, cutLine, findMatches, OutputLines } from '../../src/lib/output-text';
import { recordTokenBefore, tokenBefore } from '../../src/lib/pages';
import { quoteShell } from '../../src/lib/shell';
import { TaskMap } from '../../src/lib/task-map';
import { formatDuration } from '../../src/lib/time.svelte';
import { backoffMs } from '../../src/live/live.svelte';
import { SseParser } from '../../src/live/sse';

describe('map of a task', () => {
  test('delta_changes_ranges_and_counts', () => {
    const map = new TaskMap(new Uint8Array(10), 5);
    expect(map.apply({ task_id: 't', version: 7, changes: [{ code: 16, ranges: [[0, 3], [9, 9]] }, { code: 17, ranges: [[4, 4]] }] })).toBe(true);
    expect([...map.codes]).toEqual([16, 16, 16, 16, 17, 0, 0, 0, 0, 16]);
    expect([map.counts[16], map.counts[17], map.counts[0]]).toEqual([5, 1, 4]);
    expect(map.version).toBe(7);
  });

  test('old_delta_changes_nothing', () => {
    const map = new TaskMap(new Uint8Array(3), 5);
    expect(map.apply({ task_id: 't', version: 5, changes: [{ code: 17, ranges: [[0, 2]] }] })).toBe(true);
    expect(map.counts[0]).toBe(3);
  });

  test('reset_asks_for_the_map', () => {
    const map = new TaskMap(new Uint8Array(3), 5);
    expect(map.apply({ task_id: 't', version: 6, reset: true })).toBe(false);
    expect(map.apply({ task_id: 't', version: 5, reset: true })).toBe(false);
  });

  test('range_outside_the_map_is_cut', () => {
    const map = new TaskMap(new Uint8Array(3), 0);
    map.apply({ task_id: 't', version: 1, changes: [{ code: 2, ranges: [[2, 999]] }] });
    expect([...map.codes]).toEqual([0, 0, 2]);
  });

  test('code_of_a_newer_server_counts_as_pending', () => {
    const map = new TaskMap(new Uint8Array([0, 99, 16]), 0);
    expect(map.countOf('PENDING')).toBe(2);
  });

  test('search_finds_the_next_failure_in_both_directions', () => {
    const map = new TaskMap(new Uint8Array([16, 17, 16, 18, 16]), 0);
    const failed = (code: number) => code > 16;
    expect(map.find(2, 1, failed)).toBe(3);
    expect(map.find(2, -1, failed)).toBe(1);
    expect(map.find(4, 1, failed)).toBe(-1);
  });
});

describe('event stream', () => {
  test('messages_survive_any_cut', () => {
    const text = 'retry: 1500\nevent: task\nid: 7\ndata: {"a":\ndata: 1}\n\n: note\n\nevent: heartbeat\ndata: {}\n\n';
    for (let cut = 1; cut < text.length; cut += 1) {
      const parser = new SseParser();
      const frames = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
      expect(frames.map((frame) => [frame.event, frame.data, frame.id, frame.retryMs])).toEqual([
        ['task', '{"a":\n1}', '7', 1500],
        ['heartbeat', '{}', null, null],
      ]);
    }
  });

  test('carriage_returns_end_lines', () => {
    const frames = new SseParser().push('event: a\r\ndata: 1\r\n\r\n');
    expect(frames).toHaveLength(1);
  });

  test('waits_grow_to_a_limit', () => {
    expect(backoffMs(1, 1)).toBe(1_000);
    expect(backoffMs(50, 1)).toBe(15_000);
    expect(backoffMs(3, 0)).toBe(2_000);
  });
});

describe('output', () => {
  test('escape_sequences_and_overwritten_text_are_left_out', () => {
    expect(cleanLine('\u001b[31mred\u001b[0m \u001b]0;title\u0007x')).toBe('red x');
    expect(cleanLine('10 %\r50 %\r100 %\r')).toBe('100 %');
    expect(cleanLine('a\u202eb\u0000c')).toBe('abc');
  });

  test('parts_join_into_the_lines_of_the_whole', () => {
    const text = 'one\ntwo\r\nthree\n\nfour';
    for (let cut = 0; cut <= text.length; cut += 1) {
      const output = new OutputLines();
      output.append(text.slice(0, cut));
      output.append(text.slice(cut));
      expect(output.lines).toEqual(['one', 'two', 'three', '', 'four']);
    }
  });

  test('matches_cut_a_line_into_pieces', () => {
    const lines = ['nothing', 'Error: error'];
    const matches = findMatches(lines, 'error');
    expect(cutLine('Error: error', 1, matches)).toEqual([
      { text: 'Error', match: 0 },
      { text: ': ', match: -1 },
      { text: 'error', match: 1 },
    ]);
    expect(cutLine('nothing', 0, matches)).toEqual([{ text: 'nothing', match: -1 }]);
  });

  test('markup_stays_text', () => {
    expect(cleanLine('<img src=x onerror=alert(1)>')).toBe('<img src=x onerror=alert(1)>');
  });
});

describe('addresses', () => {
  test('address_survives_reading', () => {
    const route = parseRoute(href('/tasks/abc', { tab: 'map', q: 'a&b=c', none: null }));
    expect(route.segments).toEqual(['tasks', 'abc']);
    expect(route.query.get('q')).toBe('a&b=c');
    expect(route.query.has('none')).toBe(false);
  });

  test('broken_escape_is_taken_as_it_is', () => {
    expect(parseRoute('#/tasks/%zz').segments).toEqual(['tasks', '%zz']);
    expect(parseRoute('').path).toBe('/');
  });

  test('path_values_are_escaped', () => {
    expect(fillPath('/desktops/{desktop_id}', { desktop_id: 'a/b c' })).toBe('/desktops/a%2Fb%20c');
    expect(() => fillPath('/desktops/{desktop_id}')).toThrow('desktop_id');
  });

  test('page_tokens_name_the_entry_before', () => {
    expect(tokenBefore(0)).toBeNull();
    expect(tokenBefore(1001)).toBe('31303030');
    expect(recordTokenBefore(10)).toBe('392d3635353335');
  });
});

describe('words', () => {
  test('shell_words_are_quoted_where_needed', () => {
    expect(quoteShell('http://a/b?x')).toBe("'http://a/b?x'");
    expect(quoteShell('desktop-1')).toBe('desktop-1');
    expect(quoteShell("it's")).toBe(`'it'\\''s'`);
  });

  test('durations_have_two_units_at_most', () => {
    expect(formatDuration(0)).toBe('0 s');
    expect(formatDuration(3_725_000)).toBe('1 h 2 min');
    expect(formatDuration(3_600_000)).toBe('1 h');
    expect(formatDuration(-5)).toBe('0 s');
  });
});
