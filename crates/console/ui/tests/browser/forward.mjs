// Serves a built console below /console/ with the server's content security policy, and forwards the API with a token.
// For clusters whose program has no console, and for builds that are not in the program yet.
import { createReadStream, existsSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { extname, join, normalize } from 'node:path';

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' };

export async function startForwarded({ dist, http, project, token, principal = 'developer' }) {
  const target = new URL(http);
  const server = createServer((incoming, answer) => {
    const path = incoming.url.split('?')[0];
    if (path === '/console/session' || path === '/console/providers') return json(answer, path.endsWith('session') ? session(project, principal) : { providers: [], version: 'test' });
    if (/^\/v[12]\//.test(path)) return forward(incoming, answer);
    const name = normalize(path.replace(/^\/console\/?/, '')) || 'index.html';
    const file = join(dist, name === '.' ? 'index.html' : name);
    if (name.startsWith('..') || !existsSync(file)) return void answer.writeHead(404).end();
    answer.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-security-policy': POLICY });
    createReadStream(file).pipe(answer);
  });
  function forward(incoming, answer) {
    const headers = { ...incoming.headers, host: target.host, 'x-auth-token': token };
    const outgoing = request({ host: target.hostname, port: target.port, path: incoming.url, method: incoming.method, headers }, (reply) => {
      answer.writeHead(reply.statusCode, reply.headers);
      reply.pipe(answer);
    });
    outgoing.on('error', () => answer.writeHead(502).end());
    answer.on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  }
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/console/`, close: () => server.closeAllConnections?.() ?? server.close() };
}

function json(answer, body) {
  answer.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  answer.end(JSON.stringify(body));
}

function session(project, principal) {
  const at = (milliseconds) => new Date(Date.now() + milliseconds).toISOString();
  return { csrf_token: 'test', principal, name: principal, project_id: project, provider: null, session_id: 'test', created_at: at(0), expires_at: at(43_200_000), idle_expires_at: at(1_800_000), now: at(0) };
}
