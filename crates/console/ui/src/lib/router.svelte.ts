/** The address after `#` is the view: path, filters, selection and tab. */

export interface Route {
  path: string;
  segments: string[];
  query: URLSearchParams;
}

export type QueryPatch = Record<string, string | number | null | undefined>;

export function parseRoute(hash: string): Route {
  const [rawPath = '', rawQuery = ''] = hash.replace(/^#/, '').split(/\?(.*)/s);
  const path = rawPath.startsWith('/') ? rawPath : `/${rawPath}`;
  const segments = path.split('/').filter(Boolean).map(decodeSegment);
  return { path, segments, query: new URLSearchParams(rawQuery) };
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Address of a view for `<a href>`. */
export function href(path: string, query: QueryPatch = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `#${path}${text === '' ? '' : `?${text}`}`;
}

class Router {
  route = $state.raw<Route>(parseRoute(typeof location === 'undefined' ? '' : location.hash));

  constructor() {
    if (typeof window === 'undefined') return;
    window.addEventListener('hashchange', () => this.read());
    window.addEventListener('popstate', () => this.read());
  }

  go(path: string, query: QueryPatch = {}): void {
    location.hash = href(path, query);
  }

  /** Replaces the address without a new entry in the history. */
  replace(path: string, query: QueryPatch = {}): void {
    history.replaceState(null, '', href(path, query));
    this.read();
  }

  /** Changes some parameters of the current view. `null` removes one. Filters replace, tabs and selections push. */
  setQuery(patch: QueryPatch, options: { push?: boolean } = {}): void {
    const query: QueryPatch = Object.fromEntries(this.route.query);
    Object.assign(query, patch);
    const next = href(this.route.path, query);
    if (next === location.hash) return;
    if (options.push) history.pushState(null, '', next);
    else history.replaceState(null, '', next);
    this.read();
  }

  /** Value of a parameter of the current view. */
  query(name: string): string | null {
    return this.route.query.get(name);
  }

  private read(): void {
    this.route = parseRoute(location.hash);
  }
}

export const router = new Router();
