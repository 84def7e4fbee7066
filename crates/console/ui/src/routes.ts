import type { Component } from 'svelte';

import type { TextKey } from './i18n/index.svelte';

interface View {
  /** First segment of the address; the view reads the rest from `router.route`. */
  segment: string;
  title: TextKey;
  load: () => Promise<{ default: Component }>;
}

/** Views by the first segment of their address. Each loads when it is first shown. */
export const VIEWS: View[] = [
  { segment: '', title: 'common.nav.home', load: () => import('./views/home/Home.svelte') },
  { segment: 'tasks', title: 'common.nav.tasks', load: () => import('./views/task/Tasks.svelte') },
  { segment: 'new', title: 'common.nav.new', load: () => import('./views/rollout/Rollout.svelte') },
  { segment: 'scripts', title: 'common.nav.scripts', load: () => import('./views/scripts/Scripts.svelte') },
  { segment: 'desktops', title: 'common.nav.desktops', load: () => import('./views/desktops/Desktops.svelte') },
  { segment: 'workers', title: 'common.nav.workers', load: () => import('./views/workers/Workers.svelte') },
  { segment: 'audit', title: 'common.nav.audit', load: () => import('./views/audit/Audit.svelte') },
  { segment: 'access', title: 'common.nav.access', load: () => import('./views/access/Access.svelte') },
];

export interface NavigationEntry {
  path: string;
  title: TextKey;
}

export const NAVIGATION: NavigationEntry[] = [
  { path: '/', title: 'common.nav.home' },
  { path: '/tasks', title: 'common.nav.tasks' },
  { path: '/new', title: 'common.nav.new' },
  { path: '/scripts', title: 'common.nav.scripts' },
  { path: '/desktops', title: 'common.nav.desktops' },
  { path: '/workers', title: 'common.nav.workers' },
  { path: '/audit', title: 'common.nav.audit' },
  { path: '/access', title: 'common.nav.access' },
];
