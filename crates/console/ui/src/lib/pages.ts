import { call, type Query } from '../api/client';

const PAGE_SIZE = 1_000;

/**
 * Token of the page that begins with an ordinal, for lists in the order of the plan. Tokens are opaque to clients;
 * the console comes from the same build as the server, and tests/browser/console.mjs compares the two.
 */
export function tokenBefore(ordinal: number, suffix = ''): string | null {
  if (ordinal <= 0) return null;
  const text = `${ordinal - 1}${suffix}`;
  return [...text].map((character) => character.charCodeAt(0).toString(16).padStart(2, '0')).join('');
}

/** Token of the page of records that begins with the first script of a target. */
export const recordTokenBefore = (ordinal: number): string | null => tokenBefore(ordinal, '-65535');

type Page<K extends string, R> = Record<K, R[]> & { next_page_token?: string | null };

interface ReadOptions<R> {
  query?: Query;
  signal?: AbortSignal;
  max?: number;
  /** Takes the rows of each page; without it they are returned. */
  onpage?: (rows: R[], total: number) => void;
}

/** Reads pages of a list until its end or `max` rows. */
export async function readAllPages<R, K extends string>(path: string, key: K, options: ReadOptions<R> = {}): Promise<R[]> {
  const rows: R[] = [];
  let total = 0;
  let token: string | null | undefined;
  do {
    const page: Page<K, R> = await call('GET', path, {
      query: { ...options.query, page_size: PAGE_SIZE, page_token: token },
      signal: options.signal,
      background: true,
    });
    total += page[key].length;
    if (options.onpage) options.onpage(page[key], total);
    else rows.push(...page[key]);
    token = page.next_page_token;
  } while (token && total < (options.max ?? Infinity));
  return rows;
}
