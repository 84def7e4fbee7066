import type { Schemas } from './client';

export type Task = Schemas['NativeTask'];
export type Wave = Schemas['NativeWave'];
export type TaskRecord = Schemas['NativeRecord'];
export type Target = Schemas['Target'];
export type FailureGroup = Schemas['FailureGroup'];
export type NativeEvent = Schemas['NativeEvent'];
export type Step = Schemas['Step'];
export type WhatIf = Schemas['NativeWhatIf'];
export type Rollout = Schemas['Rollout'];

/** How near a rollout is to its threshold. Counts are targets. */
export type Margin = NonNullable<Task['margin']>;

export interface Tally {
  success: number;
  failed: number;
  timeout: number;
  undelivered: number;
  not_returned: number;
  rejected: number;
  unknown: number;
  stopped: number;
  skipped: number;
}

export interface WaveSummary {
  wave: number;
  status: string;
  size: number;
  first_ordinal: number;
  admitted: number;
  in_flight: number;
  waiting: number;
  failed: number;
  finished: number;
  success: number;
  fail_threshold: string | null;
  verdict: string | null;
  hold: string | null;
  hold_end_time: string | null;
  soak_end_time: string | null;
  needs_approval: boolean;
  open_time: string | null;
  close_time: string | null;
}

/** State of a task as lists and the event stream show it. */
export interface TaskSummary {
  task_id: string;
  status: string;
  reason: string | null;
  waiting_for: string | null;
  paused: boolean;
  frozen: boolean;
  create_time: string;
  start_time: string | null;
  end_time: string | null;
  created_by: string;
  title: string;
  command: boolean;
  target_count: number;
  attempt: number;
  wave: number | null;
  wave_count: number;
  tally: Tally;
  in_flight: number;
  waiting: number;
  not_admitted: number;
  margin: Margin | null;
  waves: WaveSummary[];
}

export type AttentionKind = 'APPROVAL' | 'HOLDING' | 'HALTED' | 'FROZEN' | 'PAUSED' | 'STRAGGLERS';

export interface AttentionItem {
  kind: AttentionKind;
  since: string | null;
  until: string | null;
  wave: number | null;
  targets: number | null;
  sentence: string;
  task: TaskSummary;
}

export interface Attention {
  time: string;
  frozen: { time: string; by: string; reason: string | null } | null;
  counts: { approval: number; holding: number; halted: number; frozen: number; paused: number; stragglers: number; running: number };
  items: AttentionItem[];
  running: TaskSummary[];
  truncated: boolean;
}

export interface TaskEvent extends NativeEvent {
  task_id: string;
}

export interface MapDelta {
  task_id: string;
  version: number;
  reset?: boolean;
  changes?: { code: number; ranges: [number, number][] }[];
}

const ENDED = new Set(['SUCCESS', 'FAILED', 'HALTED', 'STOPPED']);
export const hasEnded = (status: string): boolean => ENDED.has(status);
