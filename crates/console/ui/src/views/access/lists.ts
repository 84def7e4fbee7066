import { api, type Schemas } from '../../api/client';

const PAGE_SIZE = 1_000;
/** Most rows that a list of access reads. */
const MAX_ROWS = 10_000;

type Read<T> = (token: string | undefined) => Promise<[T[], string | null | undefined]>;

async function all<T>(read: Read<T>): Promise<T[]> {
  const rows: T[] = [];
  let token: string | undefined;
  do {
    const [page, next] = await read(token);
    rows.push(...page);
    token = next ?? undefined;
  } while (token !== undefined && rows.length < MAX_ROWS);
  return rows;
}

const page = (page_token: string | undefined, signal: AbortSignal) => ({ query: { page_size: PAGE_SIZE, page_token }, signal });

export const readPrincipals = (signal: AbortSignal) =>
  all<Schemas['Principal']>(async (token) => {
    const answer = await api.get('/access/principals', page(token, signal));
    return [answer.principals, answer.next_page_token];
  });
export const readPolicies = (signal: AbortSignal) =>
  all<Schemas['NamedPolicy']>(async (token) => {
    const answer = await api.get('/access/policies', page(token, signal));
    return [answer.policies, answer.next_page_token];
  });
export const readTokens = (signal: AbortSignal) =>
  all<Schemas['ListedToken']>(async (token) => {
    const answer = await api.get('/access/tokens', page(token, signal));
    return [answer.tokens, answer.next_page_token];
  });
export const readKeys = (signal: AbortSignal) =>
  all<Schemas['ListedKey']>(async (token) => {
    const answer = await api.get('/access/keys', page(token, signal));
    return [answer.keys, answer.next_page_token];
  });
export const readEnrolmentTokens = (signal: AbortSignal) =>
  all<Schemas['ListedEnrolmentToken']>(async (token) => {
    const answer = await api.get('/access/enrolment-tokens', page(token, signal));
    return [answer.enrolment_tokens, answer.next_page_token];
  });

/** State of a credential: what refuses it, or that nothing does. */
export function credentialState(times: { revoke_time?: string | null; expire_time?: string | null }, nowMs: number): 'REVOKED' | 'EXPIRED' | 'VALID' {
  if (times.revoke_time) return 'REVOKED';
  if (times.expire_time && Date.parse(times.expire_time) <= nowMs) return 'EXPIRED';
  return 'VALID';
}

/** Reads the text of a policy document; the message says where the text ends to be JSON. */
export function parseDocument(text: string): { document: Schemas['PolicyDocument'] } | { error: string } {
  try {
    const document = JSON.parse(text) as Schemas['PolicyDocument'];
    return typeof document === 'object' && document !== null && !Array.isArray(document) ? { document } : { error: '{ … }' };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
