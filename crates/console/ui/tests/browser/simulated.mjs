// An API with invented tasks, for pictures and measurements: any size, any state, no machine needed.
import { createServer } from 'node:http';
import { createReadStream, existsSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';
import { gzipSync } from 'node:zlib';

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
  "worker-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const OUTCOMES = ['SUCCESS', 'FAILED', 'TIMEOUT', 'UNDELIVERED', 'REJECTED', 'UNKNOWN', 'NOT_RETURNED', 'STOPPED', 'SKIPPED'];
const FAILURES = new Set([17, 18, 19, 20, 21, 22]);
const LOOKS = [
  { fingerprint_id: '2696072204388624037', exit_code: 3, fingerprint: 'disk full: <n> of <n> MB on <path>', sample: 'checking the disk\ndisk full: 118 of 5000 MB on /var\n' },
  { fingerprint_id: '771940113', exit_code: 100, fingerprint: 'E: Could not get lock /var/lib/dpkg/lock-frontend', sample: 'Reading package lists...\nE: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812\n' },
  { fingerprint_id: '4401', exit_code: 1, fingerprint: 'certificate verify failed: unable to get local issuer certificate', sample: 'curl: (60) SSL certificate problem: certificate verify failed: unable to get local issuer certificate\n' },
];

/** Numbers that look random and are the same in each run. */
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const iso = (milliseconds) => new Date(milliseconds).toISOString();

/** A task that ran up to `progress` of its desktops, with a share of failures. */
export class SimulatedTask {
  constructor({ id, title, size, waves, progress, failShare, status = 'RUNNING', threshold = '2', startedMs, seed = 7, extra = {} }) {
    Object.assign(this, { id, title, size, status, threshold, startedMs, extra });
    this.codes = new Uint8Array(size);
    this.looks = new Uint8Array(size);
    this.version = 1;
    this.waves = spans(waves ?? [5, Math.ceil(size / 10), 'rest'], size);
    this.random = randomNumbers(seed);
    this.cursor = 0;
    this.failShare = failShare;
    this.advance(Math.floor(size * progress), extra.hold ? 0 : Math.min(600, Math.ceil(size / 30)));
    if (status === 'HALTED') for (let ordinal = 0; ordinal < size; ordinal += 1) if (this.codes[ordinal] < 16) this.codes[ordinal] = 24;
  }

  /** Ends the next `count` desktops and puts `flight` after them in flight; returns the changes. */
  advance(count, flight) {
    const end = Math.min(this.size, this.cursor + count);
    const changes = new Map();
    const set = (ordinal, code) => {
      this.codes[ordinal] = code;
      const list = changes.get(code) ?? [];
      const last = list.at(-1);
      if (last && last[1] === ordinal - 1) last[1] = ordinal;
      else list.push([ordinal, ordinal]);
      changes.set(code, list);
    };
    for (let ordinal = this.cursor; ordinal < end; ordinal += 1) {
      const failed = this.random() < this.failShare;
      this.looks[ordinal] = Math.floor(this.random() ** 2 * LOOKS.length);
      set(ordinal, failed ? [17, 17, 17, 18, 19, 21][Math.floor(this.random() * 6)] : 16);
    }
    for (let ordinal = end; ordinal < Math.min(this.size, end + flight); ordinal += 1) {
      if (this.codes[ordinal] < 2) set(ordinal, this.random() < 0.1 ? 1 : 2);
    }
    this.cursor = end;
    this.version += 1;
    return { task_id: this.id, version: this.version, changes: [...changes].map(([code, ranges]) => ({ code, ranges })) };
  }

  tally(first = 0, size = this.size) {
    const counts = new Uint32Array(256);
    for (let ordinal = first; ordinal < first + size; ordinal += 1) counts[this.codes[ordinal]] += 1;
    return counts;
  }

  waveSummary({ wave, first, size }, index) {
    const counts = this.tally(first, size);
    const failed = [...FAILURES].reduce((sum, code) => sum + counts[code], 0);
    const finished = counts.slice(16, 25).reduce((sum, value) => sum + value, 0);
    const isOpen = finished > 0 || counts[2] + counts[1] > 0;
    const isHalted = this.status === 'HALTED' && failed > 0 && index === this.haltedWave();
    const status = this.status === 'HALTED' ? (isHalted ? 'HALTED' : counts[16] > 0 ? 'CLOSED' : 'STOPPED') : finished === size ? 'CLOSED' : isOpen ? 'OPEN' : 'PENDING';
    const openMs = this.startedMs + index * 240_000;
    return {
      wave, status, size, first_ordinal: first, admitted: finished + counts[2] + counts[1], in_flight: counts[2], waiting: counts[1], failed, finished,
      success: counts[16], fail_threshold: index === 0 ? this.threshold : this.extra.later ?? this.threshold,
      verdict: isOpen ? `${failed} of ${size} targets failed: ${isHalted ? 'the fail threshold is reached' : status === 'CLOSED' ? 'below the threshold, all results are in' : 'below the threshold, results are missing'}` : null,
      hold: this.extra.hold?.wave === wave ? this.extra.hold.kind : null,
      hold_end_time: this.extra.hold?.wave === wave && this.extra.hold.kind === 'NO_EVIDENCE' ? iso(Date.now() + 86_400_000) : null,
      soak_end_time: null, needs_approval: this.extra.hold?.wave === wave,
      open_time: isOpen && status !== 'STOPPED' ? iso(openMs) : null, close_time: status === 'CLOSED' ? iso(openMs + 200_000) : null,
    };
  }

  haltedWave() {
    const failedIn = this.waves.map(({ first, size }) => [...FAILURES].reduce((sum, code) => sum + this.tally(first, size)[code], 0));
    return failedIn.findLastIndex((failed) => failed > 0);
  }

  summary() {
    const counts = this.tally();
    const waves = this.waves.map((span, index) => this.waveSummary(span, index));
    const failed = waves.reduce((sum, wave) => sum + wave.failed, 0);
    const current = waves.findLast((wave) => wave.open_time !== null);
    const ended = ['HALTED', 'SUCCESS', 'FAILED', 'STOPPED'].includes(this.status);
    const threshold = this.extra.total ?? Number.parseInt(this.threshold, 10);
    const worst = Math.min(threshold, failed + counts[2] + counts[1]);
    return {
      task_id: this.id, status: this.status, reason: this.extra.reason ?? null, waiting_for: this.extra.waiting_for ?? null, paused: this.extra.paused ?? false,
      frozen: false, create_time: iso(this.startedMs - 4_000), start_time: iso(this.startedMs), end_time: ended ? iso(this.startedMs + 900_000) : null,
      created_by: this.extra.by ?? 'alice', title: this.title, command: false, target_count: this.size, attempt: 1, wave: current?.wave ?? null, wave_count: waves.length,
      tally: Object.fromEntries(OUTCOMES.map((outcome, index) => [outcome.toLowerCase(), counts[16 + index]])),
      in_flight: counts[2], waiting: counts[1], not_admitted: counts[0],
      margin: ended ? null : {
        scope: 'WAVE', failed, at_risk: counts[2] + counts[1], threshold, threshold_text: String(threshold), left: Math.max(0, threshold - failed), worst_case: worst, unreachable: false,
        verdict: 'HOLD', sentence: `${failed} of ${this.size} targets failed, ${counts[2] + counts[1]} are at risk; the rollout halts at ${threshold} failures`,
      },
      waves,
    };
  }

  native() {
    const summary = this.summary();
    const outcomes = (first, size) => {
      const counts = this.tally(first, size);
      return Object.fromEntries(OUTCOMES.map((outcome, index) => [outcome, counts[16 + index]]));
    };
    const tally = summary.tally;
    return {
      ...summary, scripts: [{ script_id: 'a1b2c3', name: this.title, revision: 4, parameters: { ring: 'all' } }], command: null, cleanup: 'keep', delivery_timeout_ms: 600_000,
      desktop_pool_id: null, desktop_tag: null, distinct_approver: true, execution_timeout_ms: 600_000, exit_codes: { 3010: 'success' }, expire_time: null, fail_threshold: null,
      max_concurrency: 500, min_success_percent: 50, on_halt: 'drain', outcomes: {}, plan_hash: 'c2f1'.repeat(16), script_hash: '9ab4'.repeat(16), quorum_percent: 95,
      records: { success: tally.success, failed: tally.failed + tally.timeout + tally.undelivered + tally.rejected + tally.unknown, skipped: tally.skipped }, retried_by: [], retry_of: null,
      run_as_user: null, seed: 7, soak_seconds: 600, strict: true, submit_reason: 'Fix CVE-2026-1021', ticket: 'OPS-1234', window: null,
      waves: summary.waves.map((wave, index) => ({ ...wave, targets: outcomes(this.waves[index].first, this.waves[index].size), records: outcomes(this.waves[index].first, this.waves[index].size), approve_time: null, approved_by: null })),
    };
  }

  desktopId = (ordinal) => `desktop-${String(ordinal + 1).padStart(String(this.size).length, '0')}`;
  waveOf = (ordinal) => this.waves.findLast((span) => span.first <= ordinal)?.wave ?? 1;

  record(ordinal) {
    const code = this.codes[ordinal];
    const outcome = code >= 16 ? OUTCOMES[code - 16] : null;
    const startMs = this.startedMs + (600_000 * ordinal) / this.size + ((ordinal * 37) % 4_000);
    const look = LOOKS[this.looks[ordinal]] ?? LOOKS[0];
    const ran = code === 16 || code === 17 || code === 18 || code === 2;
    return {
      record_id: `${this.id}-${ordinal}-0-1`, task_id: this.id, ordinal, script: 0, attempt: 1, wave: this.waveOf(ordinal), desktop_id: this.desktopId(ordinal), computer_name: this.desktopId(ordinal),
      script_id: 'a1b2c3', script_name: this.title, status: outcome === null ? (code === 2 ? 'RUNNING' : 'WAITING') : outcome === 'SUCCESS' || outcome === 'SKIPPED' || outcome === 'STOPPED' ? outcome : 'FAILED', outcome,
      exit_code: code === 16 ? 0 : code === 17 ? look.exit_code : null, signal: null, interpreter: '/bin/sh', containment: 'CGROUP', left_processes: [], left_processes_count: 0,
      reason: code === 17 ? null : outcome === 'TIMEOUT' ? 'still running after 10 minutes' : outcome === 'UNDELIVERED' ? 'the desktop was not reached in 10 minutes' : null,
      start_time: ran ? iso(startMs) : null, end_time: code >= 16 && code <= 23 ? iso(startMs + 2_000 + ((ordinal * 7919) % 9_000)) : null,
    };
  }

  groups() {
    const groups = LOOKS.map((look, index) => ({ ...look, outcome: 'FAILED', records: 0, desktop_ids: [], waves: [], sample_record_id: '', index, members: [] }));
    for (let ordinal = 0; ordinal < this.size; ordinal += 1) if (this.codes[ordinal] === 17) groups[this.looks[ordinal]].members.push(ordinal);
    const total = groups.reduce((sum, group) => sum + group.members.length, 0);
    for (const group of groups) {
      group.records = group.members.length;
      group.desktop_ids = group.members.slice(0, 100).map(this.desktopId);
      group.share_percent = total === 0 ? 0 : Math.round((1000 * group.records) / total) / 10;
      group.waves = this.waves.map(({ wave, first, size }) => ({ wave, records: group.members.filter((ordinal) => ordinal >= first && ordinal < first + size).length })).filter((share) => share.records > 0);
    }
    return { records: total, groups: groups.filter((group) => group.records > 0).sort((a, b) => b.records - a.records), next_page_token: null };
  }
}

function spans(waves, size) {
  let first = 0;
  return waves.map((wave, index) => {
    const length = wave === 'rest' ? size - first : Math.min(wave, size - first);
    const span = { wave: index + 1, first, size: length };
    first += length;
    return span;
  });
}

/** Serves the console and the tasks; `live` advances the first one, that many desktops in each quarter of a second. */
export async function startSimulated({ dist, tasks, denied = [], livePerTick = 0, attention = () => [], port = 0 }) {
  const byId = new Map(tasks.map((task) => [task.id, task]));
  const streams = new Set();
  const start = Date.now();
  const session = () => ({
    csrf_token: 'csrf', principal: 'alice', name: 'Alice Example', project_id: 'acme', provider: null, session_id: 's1', created_at: iso(start), expires_at: iso(Date.now() + 43_200_000),
    idle_expires_at: iso(Date.now() + 1_800_000), now: iso(Date.now()),
  });
  const running = () => tasks.filter((task) => task.status === 'RUNNING').map((task) => task.summary());
  let eventNumber = 0;
  const send = (event, data) => {
    eventNumber += 1;
    for (const stream of streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\nid: ${eventNumber}\n\n`);
  };

  const answers = {
    attention: () => ({ time: iso(Date.now()), frozen: null, counts: {}, items: attention().map((item) => ({ ...item, task: item.task.summary() })), running: running(), truncated: false }),
    freeze: () => ({ frozen: false, freeze_time: null, frozen_by: null, reason: null, ticket: null }),
    tasks: () => ({ tasks: tasks.map((task) => task.native()), next_page_token: null }),
  };

  function taskAnswer(task, rest, query) {
    const page = () => {
      const token = query.get('page_token');
      const first = token ? Number.parseInt(Buffer.from(token, 'hex').toString(), 10) + 1 : 0;
      const size = Number(query.get('page_size') ?? 100);
      const last = Math.min(task.size, first + size);
      const next = last < task.size ? last - 1 : null;
      return { ordinals: Array.from({ length: Math.max(0, last - first) }, (_, index) => first + index), next };
    };
    const token = (next, suffix = '') => (next === null ? null : Buffer.from(`${next}${suffix}`).toString('hex'));
    switch (rest[0]) {
      case undefined:
        return task.native();
      case 'targets': {
        const { ordinals, next } = page();
        return { targets: ordinals.map((ordinal) => ({ ordinal, desktop_id: task.desktopId(ordinal), wave: task.waveOf(ordinal), first_script: 0 })), next_page_token: token(next) };
      }
      case 'records': {
        const wanted = query.get('desktop_id');
        if (wanted) return { records: [task.record(Number(wanted.replace(/\D/g, '')) - 1)], next_page_token: null };
        const { ordinals, next } = page();
        return { records: ordinals.map((ordinal) => task.record(ordinal)), next_page_token: token(next, '-0') };
      }
      case 'failures': {
        const groups = task.groups();
        if (rest[1] === undefined) return groups;
        const group = groups.groups.find((entry) => entry.fingerprint_id === rest[1]);
        return { members: (group?.members ?? []).slice(0, 20_000).map((ordinal) => ({ ordinal, desktop_id: task.desktopId(ordinal) })), next_page_token: null };
      }
      case 'explain':
        return {
          steps: [
            { time: iso(task.startedMs - 4_000), text: 'the task was accepted' },
            { time: iso(task.startedMs), text: 'wave 1 opened' },
            ...(query.get('desktop_id') ? [{ time: null, text: `the desktop is target ${Number(query.get('desktop_id').replace(/\D/g, '')) - 1} of the plan` }] : []),
            { time: iso(task.startedMs + 180_000), text: 'wave 1 closed: 0 of 5 targets failed, below the fail threshold 2' },
          ],
        };
      case 'what-if':
        return { ending: 'HALTED', started: Math.ceil(task.size / 3), failed: 2, halt_time: iso(task.startedMs + 200_000), waves: [{ wave: 1, size: 5, finished: 5, failed: 2, verdict: '2 of 5 targets failed: the fail threshold 2 is reached' }] };
      default:
        return task.native();
    }
  }

  function stream(request, response, query) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(`retry: 1000\nevent: hello\ndata: ${JSON.stringify({ time: iso(Date.now()), heartbeat_seconds: 15 })}\n\n`);
    response.write(`event: desktops\ndata: {"connected": 99871}\nid: 0\n\n`);
    streams.add(response);
    request.on('close', () => streams.delete(response));
    void query;
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const json = (body, status = 200) => {
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(JSON.stringify(body));
    };
    if (url.pathname === '/console') return response.writeHead(302, { location: '/console/' }).end();
    if (url.pathname === '/console/session') return request.method === 'DELETE' ? response.writeHead(204).end() : json(session());
    if (url.pathname === '/console/providers') return json({ providers: [{ name: 'corp', title: 'Example Corp', login_url: 'login/corp' }], version: '0.1.0' });
    if (url.pathname.startsWith('/console/')) return serveFile(dist, url.pathname.slice('/console/'.length), request, response);
    const [, , , , area, id, ...rest] = url.pathname.split('/');
    if (area === 'events') return stream(request, response, url.searchParams);
    if (area === 'access' && id === 'allowed') return allowed(request, json, denied);
    if (area === 'records' && rest[0] === 'output') return json(output(id, url.searchParams));
    if (area === 'tasks' && id) {
      const task = byId.get(id);
      if (!task) return json({ error_code: 'WKS.00211902', error_msg: `task ${id} does not exist (see docs/errors.md#TASK_NOT_FOUND)` }, 404);
      if (rest[0] === 'map') return mapAnswer(task, request, response);
      return json(taskAnswer(task, rest, url.searchParams));
    }
    const answer = answers[area];
    return answer ? json(answer()) : json({ error_code: 'WKS.00211902', error_msg: 'no such path (see docs/errors.md#PATH_NOT_FOUND)' }, 404);
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const timer = setInterval(() => {
    if (livePerTick === 0 || streams.size === 0) return;
    const [task] = tasks;
    if (task.cursor >= task.size) return;
    send('map', task.advance(livePerTick, Math.min(2_000, livePerTick * 4)));
    send('task', task.summary());
  }, 250);
  const heartbeat = setInterval(() => send('heartbeat', { time: iso(Date.now()) }), 5_000);
  return {
    url: `http://127.0.0.1:${server.address().port}/console/`,
    close: () => {
      clearInterval(timer);
      clearInterval(heartbeat);
      for (const open of streams) open.end();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

function mapAnswer(task, request, response) {
  const headers = { 'content-type': 'application/octet-stream', 'x-graywave-map-version': String(task.version), etag: `"${task.version}"`, 'content-encoding': 'gzip', 'cache-control': 'private, no-cache' };
  if (request.headers['if-none-match'] === headers.etag) return response.writeHead(304, headers).end();
  response.writeHead(200, headers);
  return response.end(gzipSync(task.codes, { level: 1 }));
}

async function allowed(request, json, denied) {
  let text = '';
  for await (const part of request) text += part;
  const { checks } = JSON.parse(text);
  json({
    principal: 'alice', policies: ['operator'],
    results: checks.map(({ resource, actions }) => ({
      resource, allowed: actions.filter((action) => !denied.includes(action)),
      denied: actions.filter((action) => denied.includes(action)).map((action) => ({ action, reason: 'NO_POLICY_ALLOWS', message: `no policy allows ${action} on ${resource}` })),
    })),
  });
}

function output(id, query) {
  const text = Array.from({ length: 120 }, (_, line) => `${String(line).padStart(4, '0')} checking package ${line % 17 === 3 ? '<b onclick="alert(1)">openssl</b>' : 'libexample'} … ok`).join('\n');
  const from = Number(query.get('from') ?? 0);
  return { record_id: id, state: 'ENDED', offset: from, output: text.slice(from), next_offset: text.length, is_incomplete: false };
}

function serveFile(dist, name, request, response) {
  const path = join(dist, normalize(name === '' ? 'index.html' : name));
  if (!path.startsWith(dist) || !existsSync(path)) return response.writeHead(404).end();
  const headers = { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' };
  if (path.endsWith('.html')) headers['content-security-policy'] = CSP;
  response.writeHead(200, headers);
  return createReadStream(path).pipe(response);
}
