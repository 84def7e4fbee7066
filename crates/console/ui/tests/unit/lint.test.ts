import { describe, expect, test } from 'vitest';

import { dialectOf, lintScript, type ScriptType } from '../../src/lib/lint';

const texts = (content: string, type: ScriptType = 'SHELL', parameters: string[] | null = null) =>
  lintScript(content, type, { parameters }).map((problem) => problem.text.replace('rollout.lint.', ''));

describe('hints', () => {
  test('good_script_has_none', () => {
    expect(texts('#!/bin/sh\nset -eu\ndf -h /\nrm -rf /tmp/x\nexit 3\n')).toEqual([]);
  });

  test('all_crlf_is_a_note_and_mixed_ends_are_a_warning', () => {
    expect(texts('#!/bin/sh\r\nset -e\r\ntrue\r\n')).toEqual(['crlf']);
    expect(texts('#!/bin/sh\r\nset -e\ntrue\r\n')).toEqual(['mixed']);
    expect(texts('Get-Date\r\n', 'POWERSHELL')).toEqual([]);
  });

  test('byte_order_mark_and_nul_are_found', () => {
    expect(texts('\u{feff}true')).toEqual(['bom']);
    expect(texts('t\0r\0u\0e\0')).toContain('nul');
  });

  test('missing_shebang_and_errexit_are_noted_for_scripts_only', () => {
    expect(texts('a\nb\nc')).toEqual(['shebang', 'errexit']);
    expect(texts('uname -n')).toEqual([]);
    expect(texts('#!/bin/bash -e\na\nb\nc')).toEqual([]);
  });

  test('exit_codes_beyond_a_byte_name_what_arrives', () => {
    const [problem] = lintScript('exit 300', 'SHELL', { parameters: null });
    expect(problem).toMatchObject({ text: 'rollout.lint.exit', from: 0, to: 8, values: { code: '300', low: 44 } });
    expect(texts('exit -1')).toEqual(['exit']);
    expect(texts('exit 255')).toEqual([]);
    expect(texts('exit 3010', 'BAT')).toEqual([]);
  });

  test('interactive_commands_are_found_in_each_dialect', () => {
    expect(texts('read -p "Sure? " x')).toEqual(['interactive']);
    expect(texts('apt-get install curl')).toEqual(['interactive']);
    expect(texts('apt-get install -y curl')).toEqual([]);
    expect(texts('while read line; do echo "$line"; done < file')).toEqual([]);
    expect(texts('$name = Read-Host "Name"', 'POWERSHELL')).toEqual(['interactive']);
    expect(texts('@echo off\r\npause\r\n', 'BAT')).toEqual(['interactive']);
    expect(texts('#!/usr/bin/python3\nx = input("?")\n')).toEqual(['interactive']);
  });

  test('reboots_are_found_but_not_in_comments', () => {
    expect(texts('sudo reboot')).toEqual(['reboot']);
    expect(texts('# reboot')).toEqual([]);
    expect(texts('Restart-Computer -Force', 'POWERSHELL')).toEqual(['reboot']);
    expect(texts('shutdown /r /t 0', 'BAT')).toEqual(['reboot']);
    expect(texts('echo reboot-needed')).toEqual([]);
  });

  test('bash_syntax_without_bash_is_a_warning', () => {
    expect(texts('#!/bin/sh\n[[ -f x ]] && true')).toEqual(['bashism']);
    expect(texts('#!/bin/bash\n[[ -f x ]] && true')).toEqual([]);
  });

  test('parameters_are_declared_used_and_quoted', () => {
    expect(texts('echo "$GRAYWAVE_PARAM_RING"', 'SHELL', ['ring'])).toEqual([]);
    expect(texts('echo $GRAYWAVE_PARAM_RING', 'SHELL', ['ring'])).toEqual(['parameter.unquoted']);
    expect(texts('echo "$GRAYWAVE_PARAM_RING"', 'SHELL', [])).toEqual(['parameter.undeclared']);
    expect(texts('echo "$GRAYWAVE_PARAM_RING"')).toEqual(['parameter.command']);
    expect(texts('true', 'SHELL', ['ring'])).toEqual(['parameter.unused']);
    expect(texts('$env:GRAYWAVE_PARAM_RING', 'POWERSHELL', ['ring'])).toEqual([]);
  });

  test('places_are_those_of_the_text_with_comments', () => {
    const content = '#!/bin/sh\n# reboot\nreboot\n';
    const [problem] = lintScript(content, 'SHELL', { parameters: null });
    expect(content.slice(problem?.from, problem?.to)).toBe('reboot');
    expect(problem?.from).toBe(19);
  });

  test('limit_of_the_api_is_named', () => {
    expect(texts('#'.repeat(100_001))).toEqual(['long']);
  });
});

describe('dialects', () => {
  test('shebang_chooses_the_dialect', () => {
    expect(dialectOf('#!/usr/bin/env python3\n', 'SHELL')).toBe('python');
    expect(dialectOf('#!/bin/bash\n', 'SHELL')).toBe('bash');
    expect(dialectOf('true', 'SHELL')).toBe('sh');
    expect(dialectOf('#!/usr/bin/python3', 'BAT')).toBe('batch');
  });
});
