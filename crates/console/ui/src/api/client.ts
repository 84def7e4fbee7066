import type { components, paths } from './schema';
import { session } from './session.svelte';

export type Schemas = components['schemas'];

/** Address of the API: one level above the console's own page. */
export const apiRoot = (): URL => new URL('../', document.baseURI);

/** Address of a call of the native family, below the session's project. */
export function projectUrl(path: string, query?: Query): URL {
  const url = new URL(`v1/projects/${encodeURIComponent(session.projectId)}${path}`, apiRoot());
  appendQuery(url, query);
  return url;
}

export type QueryValue = string | number | boolean | null | undefined | readonly string[];
export type Query = Record<string, QueryValue>;

export interface CallOptions {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** Marks a call that no person caused, so that it does not extend the session. */
  background?: boolean;
  /** Makes a repeated POST safe; see `idempotencyKey`. */
  idempotencyKey?: string;
  /** Reason and ticket that the audit keeps. */
  justification?: { reason?: string; ticket?: string };
}

/** An answer that is no success. `reason` is the stable identifier of docs/errors.md, if the answer names one. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly reason: string | null,
    readonly requestId: string | null,
    readonly retryAfterSeconds: number | null,
  ) {
    super(message);
    this.name = 'ApiError';
  }
  /** Whether the same call may succeed later. Status 0 is a server that did not answer. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError';

/** A key for one change, made when the person decides, and reused when the same decision is sent again. */
export const idempotencyKey = (): string => crypto.randomUUID();

type Native = '/v1/projects/{project_id}';
type NativePath = {
  [P in keyof paths]: P extends `${Native}${infer Rest}` ? Rest : never;
}[keyof paths];
type Operation<P extends NativePath, M extends string> = `${Native}${P}` extends keyof paths
  ? M extends keyof paths[`${Native}${P}`]
    ? paths[`${Native}${P}`][M]
    : never
  : never;
type JsonAnswer<O> = O extends { responses: infer R }
  ? { [S in keyof R]: S extends 200 | 201 | 202 ? (R[S] extends { content: { 'application/json': infer J } } ? J : never) : never }[keyof R]
  : never;

type PathValues = Record<string, string | number>;
interface TypedOptions extends CallOptions {
  path?: PathValues;
}

/** Fills `{name}` in a path of the OpenAPI document. */
export function fillPath(path: string, values: PathValues = {}): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`the path ${path} lacks a value for ${name}`);
    return encodeURIComponent(String(value));
  });
}

/** Calls of the native family that docs/openapi.json describes, with its types. */
export const api = {
  get: <P extends NativePath>(path: P, options: TypedOptions = {}) =>
    call<JsonAnswer<Operation<P, 'get'>>>('GET', fillPath(path, options.path), options),
  post: <P extends NativePath>(path: P, options: TypedOptions = {}) =>
    call<JsonAnswer<Operation<P, 'post'>>>('POST', fillPath(path, options.path), options),
  put: <P extends NativePath>(path: P, options: TypedOptions = {}) =>
    call<JsonAnswer<Operation<P, 'put'>>>('PUT', fillPath(path, options.path), options),
  delete: <P extends NativePath>(path: P, options: TypedOptions = {}) =>
    call<JsonAnswer<Operation<P, 'delete'>>>('DELETE', fillPath(path, options.path), options),
};

/** A call below the project whose shape docs/openapi.json lacks; prefer `api`. */
export async function call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
  const response = await send(method, projectUrl(path, options.query), options);
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** Sends a request with the session's cookie and CSRF token; throws `ApiError` unless the answer is a success. */
export async function send(method: string, url: URL, options: CallOptions = {}): Promise<Response> {
  let response = await transmit(method, url, options);
  if (response.status === 403 && (await hasReason(response, 'CSRF_TOKEN_INVALID')) && (await session.renewToken())) {
    response = await transmit(method, url, options);
  }
  if (response.ok || response.status === 304) return response;
  const error = await errorOf(response);
  if (error.status === 401) session.expire();
  throw error;
}

async function transmit(method: string, url: URL, options: CallOptions): Promise<Response> {
  const headers = new Headers({ Accept: 'application/json' });
  if (options.body !== undefined) headers.set('Content-Type', 'application/json');
  if (method !== 'GET') headers.set('X-CSRF-Token', session.csrfToken);
  if (options.background) headers.set('X-Graywave-Background', 'true');
  if (options.idempotencyKey) headers.set('Idempotency-Key', options.idempotencyKey);
  const { reason, ticket } = options.justification ?? {};
  if (reason) headers.set('X-Graywave-Reason', encodeURIComponent(reason));
  if (ticket) headers.set('X-Graywave-Ticket', encodeURIComponent(ticket));
  try {
    return await fetch(url, {
      method,
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ?? null,
      credentials: 'same-origin',
    });
  } catch (cause) {
    if (isAbort(cause)) throw cause;
    throw new ApiError(0, '', 'no answer from the server', null, null, null);
  }
}

const REASON = /errors\.md#([A-Za-z_]+)/;

async function hasReason(response: Response, reason: string): Promise<boolean> {
  const text = await response.clone().text();
  return text.toUpperCase().includes(reason);
}

export async function errorOf(response: Response): Promise<ApiError> {
  let code = '';
  let message = response.statusText || `status ${response.status}`;
  try {
    const body = (await response.json()) as { error_code?: string; error_msg?: string };
    code = body.error_code ?? '';
    message = body.error_msg ?? message;
  } catch {
    // A proxy's error page: the status is all that it says.
  }
  const reason = REASON.exec(message)?.[1]?.toUpperCase() ?? null;
  const short = message.replace(/\s*\(see [^)]*errors\.md#[^)]*\)\s*$/, '');
  const wait = Number(response.headers.get('Retry-After'));
  const retryAfter = Number.isFinite(wait) && wait > 0 ? wait : null;
  return new ApiError(response.status, code, short, reason, response.headers.get('X-Request-Id'), retryAfter);
}

export function appendQuery(url: URL, query: Query = {}): void {
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === '') continue;
    if (Array.isArray(value)) for (const item of value) url.searchParams.append(name, item);
    else url.searchParams.set(name, String(value));
  }
}
