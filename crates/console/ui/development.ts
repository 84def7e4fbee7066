import { Agent, request } from 'node:http';

import type { Plugin } from 'vite';

/**
 * Serves `npm run dev` on a running API: forwards /v1 and /v2 with the token of GRAYWAVE_TOKEN, and answers for the
 * console's session. Never part of a build.
 */
export function developmentSession(server: string): Plugin {
  const token = process.env['GRAYWAVE_TOKEN'] ?? '';
  const project = process.env['GRAYWAVE_PROJECT'] ?? '';
  const agent = new Agent({ keepAlive: true });
  return {
    name: 'graywave-development-session',
    apply: 'serve',
    configureServer(vite) {
      vite.middlewares.use((incoming, answer, next) => {
        const path = (incoming.url ?? '').split('?')[0] ?? '';
        if (path === '/session' || path === '/providers') {
          answer.setHeader('content-type', 'application/json');
          answer.end(JSON.stringify(path === '/session' ? session(project) : { providers: [], version: 'dev' }));
          return;
        }
        if (!/^\/v[12]\//.test(path)) return next();
        const target = new URL(incoming.url ?? '', server);
        const headers = { ...incoming.headers, host: target.host, 'x-auth-token': token };
        const outgoing = request(target, { method: incoming.method, headers, agent }, (reply) => {
          answer.writeHead(reply.statusCode ?? 502, reply.headers);
          reply.pipe(answer);
        });
        outgoing.on('error', () => {
          answer.statusCode = 502;
          answer.end();
        });
        answer.on('close', () => outgoing.destroy());
        incoming.pipe(outgoing);
      });
    },
  };
}

function session(project: string): unknown {
  const now = Date.now();
  const at = (milliseconds: number) => new Date(now + milliseconds).toISOString();
  return {
    csrf_token: 'development',
    principal: 'developer',
    name: 'developer',
    project_id: project,
    provider: null,
    session_id: 'development',
    created_at: at(0),
    expires_at: at(43_200_000),
    idle_expires_at: at(1_800_000),
    now: at(0),
  };
}
