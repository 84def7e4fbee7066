import type { Tally, Task, TaskSummary, Wave } from '../api/types';

const MAX_TITLE = 80;

/** Name of a task for people: its scripts, or the first line of its command. */
export function titleOf(task: Pick<Task, 'scripts' | 'command'>): string {
  const text = task.scripts.length > 0 ? task.scripts.map((script) => script.name).join(', ') : firstLine(task.command?.content ?? '');
  return text.length > MAX_TITLE ? `${text.slice(0, MAX_TITLE - 1)}…` : text;
}

const firstLine = (text: string): string => text.trim().split('\n')[0] ?? '';

/** A task as lists show it. */
export function summaryOf(task: Task): TaskSummary {
  const tally: Tally = { success: 0, failed: 0, timeout: 0, undelivered: 0, rejected: 0, unknown: 0, not_returned: 0, stopped: 0, skipped: 0 };
  let inFlight = 0;
  let waiting = 0;
  for (const wave of task.waves) {
    const ended = wave.targets;
    tally.success += ended.SUCCESS;
    tally.failed += ended.FAILED;
    tally.timeout += ended.TIMEOUT;
    tally.undelivered += ended.UNDELIVERED;
    tally.rejected += ended.REJECTED;
    tally.unknown += ended.UNKNOWN;
    tally.not_returned += ended.NOT_RETURNED;
    tally.stopped += ended.STOPPED;
    tally.skipped += ended.SKIPPED;
    inFlight += wave.in_flight;
    waiting += wave.waiting;
  }
  const ended = Object.values(tally).reduce((sum: number, value: number) => sum + value, 0);
  const current = task.waves.findLast((wave) => wave.open_time !== null) ?? null;
  return {
    task_id: task.task_id,
    status: task.status,
    reason: task.reason ?? null,
    waiting_for: task.waiting_for ?? null,
    paused: task.paused,
    frozen: false,
    create_time: task.create_time,
    start_time: task.start_time ?? null,
    end_time: task.end_time ?? null,
    created_by: task.created_by,
    title: titleOf(task),
    command: task.scripts.length === 0,
    target_count: task.target_count,
    attempt: task.attempt,
    wave: current?.wave ?? null,
    wave_count: task.waves.length,
    tally,
    in_flight: inFlight,
    waiting,
    not_admitted: Math.max(0, task.target_count - ended - inFlight - waiting),
    margin: task.margin ?? null,
    waves: task.waves.map(waveSummary),
  };
}

function waveSummary(wave: Wave): TaskSummary['waves'][number] {
  const finished = Object.values(wave.targets).reduce((sum: number, value: number) => sum + value, 0);
  return {
    wave: wave.wave,
    status: wave.status,
    size: wave.size,
    first_ordinal: wave.first_ordinal,
    admitted: wave.admitted,
    in_flight: wave.in_flight,
    waiting: wave.waiting,
    failed: wave.failed,
    finished,
    success: wave.targets.SUCCESS,
    fail_threshold: wave.fail_threshold ?? null,
    verdict: wave.verdict ?? null,
    hold: wave.hold ?? null,
    hold_end_time: wave.hold_end_time ?? null,
    soak_end_time: wave.soak_end_time ?? null,
    needs_approval: wave.needs_approval,
    open_time: wave.open_time ?? null,
    close_time: wave.close_time ?? null,
  };
}
