import { api, apiRoot, appendQuery, send, type Query, type Schemas } from '../../api/client';
import { session } from '../../api/session.svelte';
import type { Page } from '../../lib/paged.svelte';

export type Desktop = Schemas['NativeDesktop'];
export const PAGE_SIZE = 200;

/** Filters of the list, as the address has them. */
export interface DesktopFilter {
  q: string;
  tag: string;
  pool: string;
  os: string;
  zone: string;
  status: string;
  retired: string;
  /** Empty: by id. The published family sorts by name and by age, and knows fewer filters. */
  sort: '' | 'computer_name' | 'created';
}

export function readFilter(query: URLSearchParams): DesktopFilter {
  const value = (name: string) => query.get(name)?.trim() ?? '';
  const sort = value('sort');
  return {
    q: value('q'),
    tag: value('tag'),
    pool: value('pool'),
    os: value('os'),
    zone: value('zone'),
    status: value('status'),
    retired: value('retired'),
    sort: sort === 'computer_name' || sort === 'created' ? sort : '',
  };
}

/** Parameters of the native list, and of its export. */
export const nativeQuery = (filter: DesktopFilter): Query => ({
  desktop_id_prefix: filter.q,
  tag: tagsOf(filter.tag),
  desktop_pool_id: filter.pool ? [filter.pool] : [],
  os_type: filter.os,
  availability_zone: filter.zone,
  status: filter.status,
  retired: filter.retired,
});

export const tagsOf = (text: string): string[] => text.split(',').map((tag) => tag.trim()).filter((tag) => tag !== '');

/** Whether a filter is in use that exists only in the list by id. */
export const needsNative = (filter: DesktopFilter): boolean => Boolean(filter.q || filter.os || filter.retired);

export async function readDesktops(filter: DesktopFilter, token: string | undefined, signal: AbortSignal, background: boolean): Promise<Page<Desktop>> {
  if (filter.sort !== '' && !needsNative(filter)) return readSorted(filter, Number(token ?? 0), signal, background);
  const query = { ...nativeQuery(filter), page_size: PAGE_SIZE, page_token: token };
  const page = await api.get('/desktops', { query, signal, background });
  return { rows: page.desktops, next: page.next_page_token };
}

async function readSorted(filter: DesktopFilter, offset: number, signal: AbortSignal, background: boolean): Promise<Page<Desktop>> {
  const url = new URL(`v2/${encodeURIComponent(session.projectId)}/desktops/detail`, apiRoot());
  appendQuery(url, {
    offset,
    limit: PAGE_SIZE,
    sort_field: filter.sort,
    sort_type: filter.sort === 'created' ? 'DESC' : 'ASC',
    tag: tagsOf(filter.tag).join(','),
    pool_id: filter.pool,
    availability_zone: filter.zone,
    status: filter.status,
  });
  const answer = (await (await send('GET', url, { signal, background })).json()) as Schemas['DetailedDesktops'];
  const end = offset + answer.desktops.length;
  return { rows: answer.desktops.map(asNative), next: answer.desktops.length > 0 && end < answer.total_count ? String(end) : null };
}

/** A row of the published list in the shape of the native one; what it lacks stays empty. */
export function asNative(row: Schemas['DetailedDesktop']): Desktop {
  const tags = Object.fromEntries((row.tags ?? []).map((tag) => [tag.key, tag.value]));
  const status = row.status as Desktop['status'];
  return {
    desktop_id: row.desktop_id,
    computer_name: row.computer_name,
    os_host_name: row.os_host_name ?? '',
    os_type: /windows/i.test(row.os_version ?? '') ? 'Windows' : '',
    os_version: row.os_version ?? null,
    agent_version: row.agent_version ?? '',
    availability_zone: row.availability_zone ?? null,
    desktop_pool_id: row.pool_id ?? null,
    worker_id: row.worker_id ?? null,
    tags,
    operator_tags: {},
    status,
    connected: status === 'ACTIVE',
    presence_time: '',
    create_time: row.created ?? '',
  };
}

/** Reads `name=value` of a new tag. */
export function parseTag(text: string): { name: string; value: string } | null {
  const match = /^\s*([^=,]{1,256}?)\s*=\s*([^,]{0,256}?)\s*$/.exec(text);
  return match ? { name: match[1] ?? '', value: match[2] ?? '' } : null;
}
