import type { api as Api, Schemas } from '../../api/client';

type Script = Schemas['SavedScript'];

export interface ScriptFilter {
  text: string;
  type: string;
}
export interface ScriptList {
  scripts: Script[];
  /** Whether the project has more scripts than were read; then only an exact name finds the rest. */
  isTruncated: boolean;
}

const PAGE_SIZE = 1_000;
/** Most scripts that a list reads. */
export const MAX_LISTED = 5_000;

/** Scripts whose name, id or description contains the text. The server filters by type and finds exact names. */
export async function searchScripts(api: typeof Api, filter: ScriptFilter, signal: AbortSignal): Promise<ScriptList> {
  const scripts: Script[] = [];
  let token: string | null | undefined;
  const query = { page_size: PAGE_SIZE, script_type: filter.type };
  do {
    const page = await api.get('/scripts', { query: { ...query, page_token: token }, signal });
    for (const script of page.scripts) if (matchesText(script, filter.text)) scripts.push(script);
    token = page.next_page_token;
  } while (token && scripts.length < MAX_LISTED);
  if (token && filter.text.trim() !== '') {
    const exact = await api.get('/scripts', { query: { ...query, name: filter.text.trim() }, signal });
    const known = new Set(scripts.map((script) => script.script_id));
    scripts.push(...exact.scripts.filter((script) => !known.has(script.script_id)));
  }
  return { scripts, isTruncated: Boolean(token) };
}

export function matchesText(script: Pick<Script, 'name' | 'script_id' | 'description'>, text: string): boolean {
  const wanted = text.trim().toLowerCase();
  if (wanted === '') return true;
  return `${script.name}\n${script.script_id}\n${script.description}`.toLowerCase().includes(wanted);
}
