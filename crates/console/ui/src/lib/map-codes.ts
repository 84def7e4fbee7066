/** Bytes of GET /tasks/{id}/map: the state of one desktop. */
export const CODES = [
  { code: 0, status: 'PENDING', color: '--cell-pending' },
  { code: 1, status: 'DEFERRED', color: '--cell-deferred' },
  { code: 2, status: 'IN_FLIGHT', color: '--cell-flight' },
  { code: 16, status: 'SUCCESS', color: '--cell-success' },
  { code: 17, status: 'FAILED', color: '--cell-failed' },
  { code: 18, status: 'TIMEOUT', color: '--cell-timeout' },
  { code: 19, status: 'UNDELIVERED', color: '--cell-undelivered' },
  { code: 20, status: 'REJECTED', color: '--cell-rejected' },
  { code: 21, status: 'UNKNOWN', color: '--cell-unknown' },
  { code: 22, status: 'NOT_RETURNED', color: '--cell-not-returned' },
  { code: 23, status: 'STOPPED', color: '--cell-stopped' },
  { code: 24, status: 'SKIPPED', color: '--cell-skipped' },
] as const;

export type CellStatus = (typeof CODES)[number]['status'];

const BY_CODE = new Map<number, CellStatus>(CODES.map(({ code, status }) => [code, status]));
const BY_STATUS = new Map<string, number>(CODES.map(({ code, status }) => [status, code]));

/** A code of a newer server reads as PENDING. */
export const statusOf = (code: number): CellStatus => BY_CODE.get(code) ?? 'PENDING';
export const codeOf = (status: string): number => BY_STATUS.get(status) ?? 0;
/** Whether a desktop with this code ended without success. */
export const isFailure = (code: number): boolean => code >= 17 && code <= 22;
