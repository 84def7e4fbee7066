import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { en } from '../../src/i18n/en';
import { formatText } from '../../src/i18n/index.svelte';
import { zh } from '../../src/i18n/zh';

const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();
const english = en as Record<string, string>;
const chinese = zh as Record<string, string>;

describe('catalogues', () => {
  test('each_text_exists_in_both_languages', () => {
    expect(Object.keys(chinese).sort()).toEqual(Object.keys(english).sort());
    expect(Object.entries(chinese).filter(([, text]) => text.trim() === '')).toEqual([]);
  });

  test('each_text_has_the_same_placeholders', () => {
    for (const [key, text] of Object.entries(english)) {
      for (const form of text.split(' | ')) {
        expect([key, [...new Set(placeholders(chinese[key] ?? ''))]]).toEqual([key, [...new Set(placeholders(form))]]);
      }
    }
  });

  test('chinese_texts_are_translated', () => {
    const sameOnPurpose = /^(Graywave|Worker|CSV|JSON Lines|REST|SHA-256|id|[^A-Za-z]*)$/;
    const copied = Object.entries(chinese).filter(([key, text]) => text === english[key] && !sameOnPurpose.test(text));
    expect(copied).toEqual([]);
  });

  test('each_key_is_used_and_each_used_key_exists', () => {
    const sources = sourceFiles('src').filter((file) => !file.includes('i18n')).map((file) => readFileSync(file, 'utf8'));
    const text = sources.join('\n');
    const used = new Set([...text.matchAll(/['"`]([a-z_]+\.[A-Za-z0-9_.]+)['"`]/g)].map((match) => match[1] ?? ''));
    // Keys that end in a variable part: t(`common.status.${status}`).
    const prefixes = [...text.matchAll(/`([a-z_]+\.[A-Za-z0-9_.]*\.)\$\{/g)].map((match) => match[1] ?? '');
    const unused = Object.keys(english).filter((key) => !used.has(key) && !prefixes.some((prefix) => key.startsWith(prefix)));
    expect(unused).toEqual([]);
  });
});

describe('texts', () => {
  test('plural_forms_follow_the_language', () => {
    expect(formatText('{n} row | {n} rows', { n: 1 }, 'en')).toBe('1 row');
    expect(formatText('{n} row | {n} rows', { n: 1200 }, 'en')).toBe('1,200 rows');
    expect(formatText('{n} 行', { n: 1200 }, 'zh-Hans')).toBe('1,200 行');
  });
});

function sourceFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return sourceFiles(path);
    return /\.(ts|svelte)$/.test(entry.name) && !entry.name.endsWith('.d.ts') ? [path] : [];
  });
}
