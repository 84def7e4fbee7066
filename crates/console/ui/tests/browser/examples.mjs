// Invented tasks in the states that a person meets.
import { SimulatedTask } from './simulated.mjs';

const now = Date.now();
const minutes = (count) => now - count * 60_000;

export function exampleTasks() {
  return [
    new SimulatedTask({ id: '01a231787', title: 'rotate-certificates.sh', size: 12_400, progress: 0.36, failShare: 0.0009, threshold: '20', startedMs: minutes(14), extra: { total: 20 } }),
    new SimulatedTask({ id: '01a231788', title: 'patch-openssl.sh, verify.sh', size: 600, waves: [20, 100, 'rest'], progress: 0.034, failShare: 0, threshold: '3', startedMs: minutes(41), extra: { hold: { wave: 2, kind: 'APPROVAL' }, waiting_for: 'wave 2 waits for an approval', by: 'bob' } }),
    new SimulatedTask({ id: '01a231789', title: 'upgrade-agent.ps1', size: 40, waves: [10, 'rest'], progress: 0.2, failShare: 0.45, status: 'HALTED', threshold: '2', startedMs: minutes(90), seed: 12, extra: { reason: '3 of 10 targets failed: the fail threshold 2 is reached' } }),
    new SimulatedTask({ id: '01a231790', title: 'disk-report.sh', size: 3_000, progress: 1, failShare: 0.004, status: 'FAILED', threshold: '30', startedMs: minutes(200), extra: { reason: null } }),
  ];
}

const item = (kind, task, sentence, more = {}) => ({ kind, task, sentence, since: new Date(minutes(9)).toISOString(), until: null, wave: null, targets: null, ...more });

export const exampleAttention = (tasks) => () => [
  item('APPROVAL', tasks[1], 'wave 2 of 100 desktops waits for an approval', { wave: 2, targets: 100 }),
  item('HALTED', tasks[2], '3 of 10 targets failed: the fail threshold 2 is reached'),
  item('STRAGGLERS', tasks[0], '12 targets are past half of their deadline without a result', { targets: 12 }),
];
