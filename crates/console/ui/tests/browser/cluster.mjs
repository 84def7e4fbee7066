// A dev cluster with real agents for the tests in a browser.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export class Cluster {
  constructor(graywave, directory, desktops) {
    Object.assign(this, { graywave, directory, desktops });
  }

  /** Starts the cluster, on the same ports as before after a stop. */
  async start() {
    // A developer who serves another build in front of the API chooses its ports.
    this.ports ??= process.env.GRAYWAVE_PORTS?.split(',') ?? [await freePort(), await freePort(), await freePort()];
    const [http, grpc, agents] = this.ports.map((port) => `127.0.0.1:${port}`);
    this.log = join(this.directory, 'log');
    const log = openSync(this.log, 'a');
    const flags = ['dev', '--desktops', String(this.desktops), '--data-dir', join(this.directory, 'data'), '--http', http, '--grpc', grpc, '--agents', agents, '--output', 'json'];
    const environment = { ...process.env, GRAYWAVE__TELEMETRY__LISTEN: '127.0.0.1:0' };
    this.child = spawn(this.graywave, flags, { stdio: ['ignore', 'pipe', log], env: environment });
    for await (const line of createInterface({ input: this.child.stdout })) {
      this.ready = JSON.parse(line);
      return;
    }
    throw new Error(`the cluster did not start:\n${readFileSync(this.log, 'utf8').slice(-4_000)}`);
  }

  async stop() {
    this.child.kill('SIGTERM');
    await once(this.child, 'exit');
  }

  get console() {
    return process.env.GRAYWAVE_OVERLAY ?? `${this.ready.http}/console/`;
  }

  /** A call of the native family with a token. */
  async call(method, path, body, token = this.ready.token) {
    const response = await fetch(`${this.ready.http}/v1/projects/${this.ready.project_id}${path}`, {
      method,
      headers: { 'X-Auth-Token': token, 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** A principal with a policy; returns its token. */
  async person(name, policy) {
    await this.call('PUT', `/access/principals/${name}`, { policies: [policy] });
    return (await this.call('POST', '/access/tokens', { principal: name })).token;
  }

  /** Runs a command on the first desktops; returns the task's id. */
  async run(command, desktops, more = {}) {
    const ids = Array.from({ length: desktops }, (_, index) => `desktop-${String(index + 1).padStart(4, '0')}`);
    const body = { resource_ids: ids, command, command_type: 'SHELL', ...more };
    return (await this.call('POST', '/executions', body)).task_id;
  }
}
