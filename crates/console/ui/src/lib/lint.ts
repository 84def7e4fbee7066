import type { TextKey } from '../i18n/index.svelte';

export type ScriptType = 'SHELL' | 'POWERSHELL' | 'BAT';
export type Severity = 'error' | 'warning' | 'info';

export interface Problem {
  /** Offsets in the text, in UTF-16 units; both 0 for the whole text. */
  from: number;
  to: number;
  severity: Severity;
  text: TextKey;
  values: Record<string, string | number>;
}

export interface LintOptions {
  /** Declared parameters of a saved script; `null` for a command, which has none. */
  parameters: readonly string[] | null;
}

/** Longest script that the API accepts, in characters. */
export const MAX_CONTENT = 100_000;
const MAX_PROBLEMS = 200;

/** Language that the interpreter of the text reads: `python` comes from the `#!` line of a SHELL script. */
export type Dialect = 'sh' | 'bash' | 'python' | 'powershell' | 'batch';

export function dialectOf(text: string, type: ScriptType): Dialect {
  if (type === 'POWERSHELL') return 'powershell';
  if (type === 'BAT') return 'batch';
  const shebang = /^\u{feff}?#!\s*(.*)/u.exec(text)?.[1] ?? '';
  if (/\bpython[\d.]*\b/.test(shebang)) return 'python';
  return /\b(bash|zsh|ksh)\b/.test(shebang) ? 'bash' : 'sh';
}

/** Hints about a script that is about to run without a terminal on many desktops. Never refuses anything. */
export function lintScript(text: string, type: ScriptType, options: LintOptions): Problem[] {
  if (text === '') return [];
  const dialect = dialectOf(text, type);
  const problems = [
    ...wholeText(text),
    ...lineEnds(text, type),
    ...(dialect === 'sh' || dialect === 'bash' ? shell(text, dialect) : []),
    ...exitCodes(text, type),
    ...matches(code(text, dialect), INTERACTIVE[dialect], 'warning', 'rollout.lint.interactive'),
    ...matches(code(text, dialect), REBOOT[dialect], 'warning', 'rollout.lint.reboot'),
    ...parameters(text, dialect, options),
  ];
  return problems.sort((a, b) => a.from - b.from).slice(0, MAX_PROBLEMS);
}

const problem = (severity: Severity, text: TextKey, from = 0, to = 0, values: Problem['values'] = {}): Problem => ({
  from,
  to,
  severity,
  text,
  values,
});

function wholeText(text: string): Problem[] {
  const found: Problem[] = [];
  if (text.startsWith('\u{feff}')) found.push(problem('info', 'rollout.lint.bom', 0, 1));
  const nul = text.indexOf('\0');
  if (nul >= 0) found.push(problem('error', 'rollout.lint.nul', nul, nul + 1));
  if (text.trim() === '') found.push(problem('error', 'rollout.lint.blank'));
  const length = [...text].length;
  if (length > MAX_CONTENT) found.push(problem('error', 'rollout.lint.long', 0, 0, { length, limit: MAX_CONTENT }));
  return found;
}

function lineEnds(text: string, type: ScriptType): Problem[] {
  if (type !== 'SHELL') return [];
  const first = text.indexOf('\r\n');
  if (first < 0) return [];
  const isMixed = /(^|[^\r])\n/.test(text);
  return [problem(isMixed ? 'warning' : 'info', isMixed ? 'rollout.lint.mixed' : 'rollout.lint.crlf', first, first + 2)];
}

const BASHISMS: [RegExp, string][] = [
  [/(^|[\s;&|(])\[\[\s/gm, '[['],
  [/^\s*function\s+[\w-]+/gm, 'function'],
  [/^\s*source\s/gm, 'source'],
  [/^\s*(declare|local -[aA])\b/gm, 'declare'],
  [/^\s*\w+=\([^)]*\)/gm, 'array=()'],
  [/<<</g, '<<<'],
  [/\$\{\w+(\^\^?|,,?)\}/g, '${name^^}'],
  [/set -[a-z]*o\s+pipefail/g, 'pipefail'],
];

function shell(text: string, dialect: Dialect): Problem[] {
  const found: Problem[] = [];
  const source = code(text, dialect);
  const commands = source.split('\n').filter((line) => line.trim() !== '').length;
  const hasShebang = /^\u{feff}?#!/u.test(text);
  if (!hasShebang && commands > 1) found.push(problem('info', 'rollout.lint.shebang', 0, lineEnd(text)));
  const stops = /(^|[;&|\s])set\s+(-[a-zA-Z]*e|-o\s+errexit)/m.test(source) || /^#!.*\s-[a-z]*e/.test(text);
  if (commands > 2 && !stops) found.push(problem('info', 'rollout.lint.errexit', 0, lineEnd(text)));
  if (dialect === 'sh') {
    for (const [pattern, name] of BASHISMS) {
      const match = pattern.exec(source);
      pattern.lastIndex = 0;
      if (match) found.push(problem('warning', 'rollout.lint.bashism', ...trimmed(match), { name }));
    }
  }
  return found;
}

const lineEnd = (text: string): number => {
  const end = text.indexOf('\n');
  return end < 0 ? text.length : end;
};

function trimmed(match: RegExpExecArray): [number, number] {
  const lead = match[0].length - match[0].trimStart().length;
  return [match.index + lead, match.index + match[0].trimEnd().length];
}

function exitCodes(text: string, type: ScriptType): Problem[] {
  if (type !== 'SHELL') return [];
  const found: Problem[] = [];
  for (const match of text.matchAll(/(^|[\s;&|])(?:exit|sys\.exit)[\s(]+(-?\d+)/g)) {
    const code = Number(match[2]);
    if (code >= 0 && code <= 255) continue;
    const from = (match.index ?? 0) + (match[1]?.length ?? 0);
    const low = ((code % 256) + 256) % 256;
    found.push(problem('warning', 'rollout.lint.exit', from, (match.index ?? 0) + match[0].length, { code: String(code), low }));
  }
  return found;
}

const INTERACTIVE: Record<Dialect, RegExp> = {
  sh: /(?:^|[;&|]\s*|\bthen\s+|\bdo\s+)[ \t]*(?:sudo\s+)?(read\b(?=\s+-p|\s+\w+\s*$)|vi|vim|nano|less|more|top|htop|passwd|ssh-keygen(?!.*-N)|(?:apt|apt-get|yum|dnf)\s+(?:install|upgrade|dist-upgrade|remove)(?!.*\s(?:-\w*y\w*|--yes|--assume-yes)\b).*)(?=\s|;|$)/gm,
  bash: /(?:^|[;&|]\s*|\bthen\s+|\bdo\s+)[ \t]*(?:sudo\s+)?(read\b(?=\s+-p|\s+\w+\s*$)|select\s+\w+\s+in|vi|vim|nano|less|more|top|htop|passwd|ssh-keygen(?!.*-N)|(?:apt|apt-get|yum|dnf)\s+(?:install|upgrade|dist-upgrade|remove)(?!.*\s(?:-\w*y\w*|--yes|--assume-yes)\b).*)(?=\s|;|$)/gm,
  python: /(?:^|[=\s(])((?:raw_)?input|getpass\.getpass)\s*\(/gm,
  powershell: /(?:^|[\s;|({=])(Read-Host|Get-Credential|Out-GridView|Pause|\$Host\.UI\.Prompt\w*|Wait-Debugger)\b/gim,
  batch: /(?:^|[&|(]\s*|\b(?:do|else)\s+)[ \t@]*(pause|choice|set\s+\/p|date(?!\s+\/t)|time(?!\s+\/t))(?=\s|$)/gim,
};

const REBOOT: Record<Dialect, RegExp> = {
  sh: /(?:^|[;&|]\s*|\bthen\s+|\bdo\s+)[ \t]*(?:sudo\s+)?(reboot|poweroff|halt|shutdown|init\s+[06]|systemctl\s+(?:reboot|poweroff|halt))(?=\s|;|$)/gm,
  bash: /(?:^|[;&|]\s*|\bthen\s+|\bdo\s+)[ \t]*(?:sudo\s+)?(reboot|poweroff|halt|shutdown|init\s+[06]|systemctl\s+(?:reboot|poweroff|halt))(?=\s|;|$)/gm,
  python: /["'](reboot|shutdown|poweroff)\b/gm,
  powershell: /(?:^|[\s;|({])(Restart-Computer|Stop-Computer|shutdown(?:\.exe)?\s+[/-][rs])\b/gim,
  batch: /(?:^|[&|(]\s*)[ \t@]*(shutdown(?:\.exe)?\s+[/-][rsgRSG])(?=\s|$)/gim,
};

function matches(source: string, pattern: RegExp, severity: Severity, text: TextKey): Problem[] {
  return [...source.matchAll(pattern)].map((match) => {
    const name = match[1] ?? match[0];
    const from = (match.index ?? 0) + match[0].lastIndexOf(name);
    return problem(severity, text, from, from + name.length, { name: name.split(/\s+/).slice(0, 2).join(' ') });
  });
}

/** Text without its comments; every character keeps its place. */
function code(text: string, dialect: Dialect): string {
  const comment = dialect === 'batch' ? /^[ \t@]*(rem\b|::).*$/gim : /(^|[ \t;])#.*$/gm;
  return text.replace(/\r/g, ' ').replace(comment, (whole) => ' '.repeat(whole.length));
}

const USES: Record<Dialect, RegExp> = {
  sh: /\$\{?GRAYWAVE_PARAM_(\w+)/g,
  bash: /\$\{?GRAYWAVE_PARAM_(\w+)/g,
  python: /["']GRAYWAVE_PARAM_(\w+)["']/g,
  powershell: /\$\{?env:GRAYWAVE_PARAM_(\w+)/gi,
  batch: /[%!]GRAYWAVE_PARAM_(\w+)/gi,
};

function parameters(text: string, dialect: Dialect, options: LintOptions): Problem[] {
  const found: Problem[] = [];
  const declared = new Set((options.parameters ?? []).map((name) => name.toUpperCase()));
  const used = new Set<string>();
  for (const match of code(text, dialect).matchAll(USES[dialect])) {
    const name = (match[1] ?? '').toUpperCase();
    const from = match.index ?? 0;
    const to = from + match[0].length;
    used.add(name);
    if (options.parameters === null) found.push(problem('warning', 'rollout.lint.parameter.command', from, to, { name }));
    else if (!declared.has(name)) found.push(problem('warning', 'rollout.lint.parameter.undeclared', from, to, { name }));
    if ((dialect === 'sh' || dialect === 'bash') && !isQuoted(text, from)) {
      found.push(problem('warning', 'rollout.lint.parameter.unquoted', from, to, { name }));
    }
  }
  for (const name of declared) {
    if (!used.has(name)) found.push(problem('info', 'rollout.lint.parameter.unused', 0, 0, { name }));
  }
  return found;
}

/** Whether the place lies within double quotes of its line, or in a plain assignment, which splits no words. */
function isQuoted(text: string, at: number): boolean {
  const before = text.slice(text.lastIndexOf('\n', at - 1) + 1, at);
  const quotes = before.replace(/\\./g, '').match(/"/g)?.length ?? 0;
  return quotes % 2 === 1 || /(^|\s)\w+=$/.test(before) || /\[\[[^\]]*$/.test(before);
}
