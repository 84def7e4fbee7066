import { errorOf } from './client';

export interface Session {
  csrf_token: string;
  principal: string;
  name: string;
  project_id: string;
  provider: string | null;
  session_id: string;
  created_at: string;
  expires_at: string;
  idle_expires_at: string;
  now: string;
}

export interface Provider {
  name: string;
  title: string;
  login_url: string;
}

const consoleUrl = (path: string): URL => new URL(path, document.baseURI);

/** The person's session, shared by all tabs through its cookie. */
class SessionStore {
  current = $state.raw<Session | null>(null);
  /** `unknown` until the first answer. */
  state = $state<'unknown' | 'signed-in' | 'signed-out'>('unknown');
  /** Milliseconds by which the server's clock is ahead of this machine's. */
  clockSkewMs = $state(0);
  private lastActivity = 0;

  get projectId(): string {
    return this.current?.project_id ?? '';
  }
  get csrfToken(): string {
    return this.current?.csrf_token ?? '';
  }
  get principal(): string {
    return this.current?.principal ?? '';
  }

  /** Reads the session of the cookie. A server that does not answer leaves the state and throws. */
  async load(background = false): Promise<void> {
    const headers = { Accept: 'application/json', ...(background ? { 'X-Graywave-Background': 'true' } : {}) };
    const response = await fetch(consoleUrl('session'), { headers });
    if (response.status === 401) return this.expire();
    if (!response.ok) throw await errorOf(response);
    this.accept((await response.json()) as Session);
  }

  async providers(): Promise<{ providers: Provider[]; version: string }> {
    const response = await fetch(consoleUrl('providers'), { headers: { Accept: 'application/json' } });
    if (!response.ok) throw await errorOf(response);
    return (await response.json()) as { providers: Provider[]; version: string };
  }

  async signIn(credential: { token: string } | { one_time_code: string }): Promise<void> {
    const response = await fetch(consoleUrl('session'), {
      method: 'POST',
      headers: { Accept: 'application/json', 'Content-Type': 'application/json' },
      body: JSON.stringify(credential),
    });
    if (!response.ok) throw await errorOf(response);
    this.accept((await response.json()) as Session);
  }

  async signOut(everywhere: boolean): Promise<void> {
    const url = consoleUrl('session');
    if (everywhere) url.searchParams.set('everywhere', 'true');
    const response = await fetch(url, { method: 'DELETE', headers: { 'X-CSRF-Token': this.csrfToken } });
    if (!response.ok && response.status !== 401) throw await errorOf(response);
    this.expire();
  }

  /** Reads the CSRF token again; reloads the page when another person has signed in meanwhile. */
  async renewToken(): Promise<boolean> {
    const before = this.current?.session_id;
    await this.load();
    if (this.current && before && this.current.session_id !== before) {
      location.reload();
      return false;
    }
    return this.current !== null;
  }

  expire(): void {
    this.current = null;
    this.state = 'signed-out';
  }

  /** Extends the session after a person's input, at most once a minute. */
  noteActivity(now: number = Date.now()): void {
    if (this.state !== 'signed-in' || now - this.lastActivity < 60_000) return;
    this.lastActivity = now;
    this.load().catch(() => undefined);
  }

  private accept(next: Session): void {
    this.clockSkewMs = Date.parse(next.now) - Date.now();
    this.lastActivity = Date.now();
    this.current = next;
    this.state = 'signed-in';
  }
}

export const session = new SessionStore();
