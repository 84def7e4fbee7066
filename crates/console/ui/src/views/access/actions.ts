/** Actions that policies allow, and the kind of resource that is checked; docs/access.md has the table. */
export interface Action {
  action: string;
  /** `*` for the project itself. */
  resource: string;
}

const of = (resource: string, ...actions: string[]): Action[] => actions.map((action) => ({ action, resource }));

export const ACTIONS: readonly Action[] = [
  ...of('script:*', 'workspace:scripts:create', 'workspace:scripts:list', 'workspace:scripts:get', 'workspace:scripts:put', 'workspace:scripts:delete'),
  ...of('desktop:*', 'workspace:scripts:execute', 'workspace:scripts:executeByDesktopTag'),
  ...of('desktopPool:*', 'workspace:desktopPools:executeScripts'),
  ...of('task:*', 'workspace:scripts:retry', 'workspace:scripts:stop', 'workspace:scripts:listTasks', 'workspace:scripts:listRecords'),
  ...of('task:*', 'workspace:scripts:getRecordDetail', 'workspace:desktopPools:listScriptTasks'),
  ...of('desktop:*', 'workspace:desktops:list', 'workspace:desktops:listDetail'),
  ...of('task:*', 'graywave:tasks:get', 'graywave:tasks:setConcurrency', 'graywave:tasks:pause', 'graywave:tasks:resume', 'graywave:tasks:approve'),
  ...of('user:*', 'graywave:users:runAs'),
  ...of('desktop:*', 'graywave:desktops:tag', 'graywave:desktops:retire', 'graywave:desktops:unretire', 'graywave:desktops:revoke'),
  ...of('*', 'graywave:project:get', 'graywave:project:freeze', 'graywave:project:unfreeze', 'graywave:project:putLimits'),
  ...of('*', 'graywave:audit:list', 'graywave:workers:list', 'graywave:workers:drain', 'graywave:workers:undrain'),
  ...of('*', 'graywave:principals:list', 'graywave:principals:put', 'graywave:policies:list', 'graywave:policies:put', 'graywave:policies:delete'),
  ...of('*', 'graywave:tokens:list', 'graywave:tokens:create', 'graywave:tokens:delete', 'graywave:keys:list', 'graywave:keys:create', 'graywave:keys:delete'),
  ...of('*', 'graywave:enrolmentTokens:list', 'graywave:enrolmentTokens:create', 'graywave:enrolmentTokens:delete'),
];

export const resourceOf = (action: string): string => ACTIONS.find((one) => one.action === action)?.resource ?? '*';

export interface Check {
  resource: string;
  actions: string[];
}

/** Questions of the simulator: one action, or without it every action on the resource or on all of its kind. */
export function checksFor(action: string, resource: string): Check[] {
  if (action !== '') return [{ resource: resource || resourceOf(action), actions: [action] }];
  const checks = new Map<string, string[]>();
  for (const one of ACTIONS) {
    const on = resource || one.resource;
    checks.set(on, [...(checks.get(on) ?? []), one.action]);
  }
  return [...checks].map(([on, actions]) => ({ resource: on, actions }));
}
