import { describe, expect, test } from 'vitest';

import { parseIds, parseOrdinals, unknownIds } from '../../src/lib/ids';

describe('pasted ids', () => {
  test('any_separator_divides_ids', () => {
    const text = '\u{feff}d1, d2;d3\r\nd4\td5\u{a0}d6，d7、d8\n"d9",\'d10\'\n';
    expect(parseIds(text).ids).toEqual(['d1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7', 'd8', 'd9', 'd10']);
  });

  test('json_array_gives_its_ids', () => {
    expect(parseIds('["d-1","d-2",]').ids).toEqual(['d-1', 'd-2']);
  });

  test('trailing_separators_give_no_empty_id', () => {
    expect(parseIds(',d1,,\n;\n').ids).toEqual(['d1']);
  });

  test('comment_lines_are_left_out', () => {
    expect(parseIds('# first ring\nd1\n  # d2\nd3#x').ids).toEqual(['d1', 'd3#x']);
  });

  test('repeated_ids_are_counted_and_named_once', () => {
    expect(parseIds('a b a', 'b a c')).toEqual({ ids: ['a', 'b', 'c'], duplicates: 3, repeated: ['a', 'b'] });
  });

  test('zero_width_characters_are_no_part_of_an_id', () => {
    expect(parseIds('d1\u{200b}\nd2').ids).toEqual(['d1', 'd2']);
  });

  test('many_ids_are_read_in_one_pass', () => {
    const text = Array.from({ length: 200_000 }, (_, index) => `desktop-${index}`).join('\r\n');
    const { ids, duplicates } = parseIds(text, 'desktop-7');
    expect([ids.length, ids[199_999], duplicates]).toEqual([200_000, 'desktop-199999', 1]);
  });
});

describe('unknown ids', () => {
  test('message_names_its_ids', () => {
    expect(unknownIds('resource_ids: desktops do not exist: x1, x2')).toEqual(['x1', 'x2']);
    expect(unknownIds('resource_ids: desktop does not exist: x1')).toEqual(['x1']);
  });

  test('rest_of_a_long_list_is_no_id', () => {
    expect(unknownIds('resource_ids: desktops do not exist: x1, x2 and 998 more')).toEqual(['x1', 'x2']);
  });

  test('other_message_names_none', () => {
    expect(unknownIds('gray_count: 5 is too large')).toEqual([]);
  });
});

describe('ordinals', () => {
  test('ranges_expand', () => {
    expect([...parseOrdinals('3-5,12, x,7-6')]).toEqual([3, 4, 5, 12]);
  });

  test('limit_stops_a_wide_range', () => {
    expect(parseOrdinals('0-999999999', 10).size).toBe(10);
  });
});
