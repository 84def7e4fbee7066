import type { TextKey } from '../i18n/index.svelte';
import { router } from './router.svelte';

export interface Shortcut {
  keys: string;
  text: TextKey;
  group: 'common.keys.everywhere' | 'common.keys.in_lists' | 'common.keys.in_map';
}

/** All shortcuts, as the overlay lists them. Views handle those of lists and of the map. */
export const SHORTCUTS: Shortcut[] = [
  { keys: '?', text: 'common.keys.help', group: 'common.keys.everywhere' },
  { keys: '/', text: 'common.keys.search', group: 'common.keys.everywhere' },
  { keys: 'g h', text: 'common.keys.home', group: 'common.keys.everywhere' },
  { keys: 'g t', text: 'common.keys.tasks', group: 'common.keys.everywhere' },
  { keys: 'g d', text: 'common.keys.desktops', group: 'common.keys.everywhere' },
  { keys: 'g n', text: 'common.keys.new', group: 'common.keys.everywhere' },
  { keys: 'p', text: 'common.keys.pause', group: 'common.keys.everywhere' },
  { keys: 'Esc', text: 'common.keys.close', group: 'common.keys.everywhere' },
  { keys: '↓ ↑ / j k', text: 'common.keys.rows', group: 'common.keys.in_lists' },
  { keys: 'Enter', text: 'common.keys.open', group: 'common.keys.in_lists' },
  { keys: '← ↑ ↓ →', text: 'common.keys.map.move', group: 'common.keys.in_map' },
  { keys: 'Shift ← →', text: 'common.keys.map.extend', group: 'common.keys.in_map' },
  { keys: 'f F', text: 'common.keys.map.next_failure', group: 'common.keys.in_map' },
  { keys: '+ −', text: 'common.keys.map.zoom', group: 'common.keys.in_map' },
];

const GO: Record<string, string> = { h: '/', t: '/tasks', d: '/desktops', n: '/new' };

class Shortcuts {
  isHelpOpen = $state(false);
  /** What `p` does in the current view. */
  pauseOrResume: (() => void) | null = null;
  focusSearch: (() => void) | null = null;
  private prefix = '';

  handle(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const afterGo = this.prefix === 'g';
    this.prefix = '';
    if (afterGo && GO[event.key] !== undefined) return this.run(event, () => router.go(GO[event.key] ?? '/'));
    if (document.querySelector('dialog[open]')) return;
    if (event.key === '?') this.run(event, () => (this.isHelpOpen = true));
    else if (event.key === '/') this.run(event, () => this.focusSearch?.());
    else if (event.key === 'p' && this.pauseOrResume) this.run(event, this.pauseOrResume);
    else if (event.key === 'g') this.prefix = 'g';
  }

  private run(event: KeyboardEvent, action: () => void): void {
    event.preventDefault();
    action();
  }
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

export const shortcuts = new Shortcuts();
