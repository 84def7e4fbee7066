// Signs in to the web console of a new dev cluster with an identity provider: good sign-ins, forged
// and late ones, and a provider that is down.
//
// Usage: node sign_in.mjs GRAYWAVE DIRECTORY, with the path of the program and an empty directory.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import readline from "node:readline";

import { Browser } from "./browser.mjs";
import { IdentityProvider } from "./provider.mjs";

const [graywave, directory] = process.argv.slice(2);

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

const port = await freePort();
const base = `http://127.0.0.1:${port}`;
const console_ = `${base}/console/`;
const callbacks = ["corp", "mail"].map((name) => `${console_}callback/${name}`);
const provider = new IdentityProvider(callbacks);
await provider.start();

/** Settings of one provider; both are the same one. */
function settings(name, project, more) {
  return `
[[console.oidc]]
name = "${name}"
title = "Example ${name}"
issuer = "${provider.issuer}"
client_id = "graywave"
client_secret_file = "${directory}/client-secret"
project_id = "${project}"
clock_tolerance_ms = 60000
${more}
[[console.oidc.groups]]
group = "sre"
policies = ["operator"]
[[console.oidc.groups]]
group = "everyone"
policies = ["reader"]
[[console.oidc.principals]]
subject = "the-developer"
principal = "developer"
`;
}

/** Starts the cluster; returns its ready line and the process. */
async function cluster(config) {
  const log = fs.openSync(path.join(directory, "log"), "a");
  const child = spawn(graywave, [
    "dev", "--config", config, "--desktops", "0", "--http", `127.0.0.1:${port}`, "--grpc", "127.0.0.1:0",
    "--agents", "127.0.0.1:0", "--output", "json", "--data-dir", path.join(directory, "data"),
  ], { stdio: ["ignore", "pipe", log], env: { ...process.env, GRAYWAVE__TELEMETRY__LISTEN: "127.0.0.1:0" } });
  for await (const line of readline.createInterface({ input: child.stdout })) {
    return { child, ready: JSON.parse(line) };
  }
  return assert.fail(fs.readFileSync(path.join(directory, "log"), "utf8"));
}

async function stop({ child }) {
  child.kill("SIGTERM");
  await once(child, "exit");
}

fs.writeFileSync(path.join(directory, "client-secret"), "the secret of the client\n");
const config = path.join(directory, "graywave.toml");
// The first start makes the project, whose id the settings of the provider name.
fs.writeFileSync(config, "");
let running = await cluster(config);
const { project_id: project, token, console: link } = running.ready;
await stop(running);
fs.writeFileSync(
  config,
  `[console]\npublic_url = "${base}"\n` + settings("corp", project, "") +
    settings("mail", project, 'subject_claim = "email"'),
);
running = await cluster(config);

const scripts = `${base}/v2/${project}/scripts`;
const json = { "content-type": "application/json", "sec-fetch-site": "same-origin" };

/** Goes to the provider and back; returns the browser and the address of the callback. */
async function returned(next, { name = "corp", query = "", browser = new Browser() } = {}) {
  provider.next = next;
  const callback = await browser.follow(`${console_}login/${name}${query}`, `${console_}callback/`);
  return { browser, callback };
}

async function session(browser) {
  const response = await browser.fetch(`${console_}session`);
  return response.ok ? response.json() : null;
}

/** The error that a callback leads to. */
async function failure(browser, callback) {
  const view = await browser.leads(callback);
  assert.ok(view.startsWith(`${console_}#/sign-in?error=`), view);
  assert.equal(await session(browser), null, "no session");
  return view.split("error=")[1];
}

const cases = [];
const test = (name, body) => cases.push([name, body]);

test("groups of a person become policies", async () => {
  provider.people.alice = { groups: ["sre", "unmapped"], email: "alice@example.com", email_verified: true };
  const view = encodeURIComponent("#/tasks?status=HELD");
  const { browser, callback } = await returned({ subject: "alice" }, { query: `?return_to=${view}` });
  assert.equal(await browser.leads(callback), `${console_}#/tasks?status=HELD`);
  const shown = await session(browser);
  assert.deepEqual(
    [shown.principal, shown.name, shown.provider, shown.project_id],
    ["oidc:corp:alice", "alice@example.com", "corp", project],
  );
  const jar = browser.jar(base);
  assert.deepEqual([...jar.keys()], ["__Host-graywave-session"], "the cookie of the sign-in is deleted");
  const body = JSON.stringify({ name: "s", type: "SHELL", content: "true" });
  const headers = { ...json, "x-csrf-token": shown.csrf_token };
  assert.equal((await browser.fetch(scripts, { method: "POST", headers, body })).status, 200);
  assert.equal((await browser.fetch(scripts, { method: "POST", headers: json, body })).status, 403);
  const principals = `${base}/v1/projects/${project}/access/principals`;
  assert.equal((await browser.fetch(principals)).status, 403, "an operator lists no principals");
  const audit = await fetch(`${base}/v1/projects/${project}/audit`, { headers: { "x-auth-token": token } });
  const entries = (await audit.json()).entries;
  const entry = entries.find(({ action }) => action === "graywave:sessions:create");
  assert.match(JSON.stringify(entry), /oidc:corp:alice.*alice@example\.com/);

  const out = await browser.fetch(`${console_}session`, { method: "DELETE", headers });
  assert.equal(out.status, 204);
  assert.equal(await session(browser), null, "signed out");
});

test("the providers are listed, and none returns to another site", async () => {
  const listed = await (await fetch(`${console_}providers`)).json();
  assert.deepEqual(listed.providers[0], { name: "corp", title: "Example corp", login_url: "login/corp" });
  for (const other of ["https://evil.example/", "//evil.example", "/\\evil.example", "#evil", "javascript:x"]) {
    const query = `?return_to=${encodeURIComponent(other)}`;
    const { browser, callback } = await returned({ subject: "alice" }, { query });
    assert.equal(await browser.leads(callback), `${console_}#/`, other);
  }
});

test("a forged state and a stranger's callback are refused", async () => {
  const { browser, callback } = await returned({ subject: "alice" });
  const forged = callback.replace(/state=[^&]*/, "state=forged");
  const again = await browser.leads(forged);
  assert.ok(again.endsWith("&again=1"), "the browser is asked once more, from this site");
  assert.equal(await failure(browser, again), "state");
  const victim = new Browser();
  assert.equal(await failure(victim, await victim.leads(callback)), "state");
  assert.equal(await browser.leads(callback), `${console_}#/`, "the own callback is still good");
});

test("a callback of another provider's sign-in is refused", async () => {
  const { browser, callback } = await returned({ subject: "alice" });
  const mixed = callback.replace("callback/corp", "callback/mail");
  assert.equal(await failure(browser, await browser.leads(mixed)), "state");
});

test("an ID token with another nonce is refused", async () => {
  const { browser, callback } = await returned({ subject: "alice" });
  const jar = browser.jar(base);
  const [[name, value]] = jar;
  jar.set(name, value.replace(/(^|&)n=[^&]*/, "$1n=another"));
  assert.equal(await failure(browser, callback), "failed");
});

test("a code without its PKCE verifier is refused", async () => {
  const { browser, callback } = await returned({ subject: "alice" });
  const jar = browser.jar(base);
  const [[name, value]] = jar;
  jar.set(name, value.replace(/(^|&)v=[^&]*/, `$1v=${"x".repeat(43)}`));
  assert.equal(await failure(browser, callback), "expired");
});

test("a replayed callback is refused", async () => {
  const { browser, callback } = await returned({ subject: "alice" });
  const [cookie] = browser.jar(base);
  await browser.leads(callback);
  assert.ok(await session(browser));
  const thief = new Browser();
  thief.jar(base).set(...cookie);
  assert.equal(await failure(thief, callback), "expired");
});

test("an expired code is refused", async () => {
  provider.codeSeconds = -1;
  const { browser, callback } = await returned({ subject: "alice" });
  provider.codeSeconds = 60;
  assert.equal(await failure(browser, callback), "expired");
});

test("a sign-in that began long ago is refused", async () => {
  const { browser, callback } = await returned({ subject: "alice" });
  const jar = browser.jar(base);
  const [[name, value]] = jar;
  jar.set(name, value.replace(/(^|&)t=(\d+)/, (_, start, time) => `${start}t=${time - 601}`));
  assert.equal(await failure(browser, callback), "expired");
});

test("two tabs sign in at the same time", async () => {
  const first = await returned({ subject: "alice" });
  const { callback } = await returned({ subject: "alice" }, { browser: first.browser });
  assert.equal(await first.browser.leads(first.callback), `${console_}#/`);
  assert.equal(await first.browser.leads(callback), `${console_}#/`);
});

test("a person whose groups are not mapped is refused, and loses open sessions", async () => {
  provider.people.bob = { groups: ["everyone"] };
  const earlier = await returned({ subject: "bob" });
  await earlier.browser.leads(earlier.callback);
  assert.equal((await session(earlier.browser)).name, "bob", "without a verified mail address");
  for (const groups of [[], ["SRE"], undefined]) {
    provider.people.bob = { groups };
    const { browser, callback } = await returned({ subject: "bob" });
    assert.equal(await failure(browser, callback), "not_allowed", JSON.stringify(groups));
  }
  assert.equal(await session(earlier.browser), null);
});

test("groups that do not fit in a token are told apart from no groups", async () => {
  provider.people.carol = { _claim_names: { groups: "src1" } };
  const { browser, callback } = await returned({ subject: "carol" });
  assert.equal(await failure(browser, callback), "groups_overage");
});

test("only a verified mail address identifies a person", async () => {
  provider.people.dave = { groups: ["sre"], email: "alice@example.com", email_verified: false };
  const { browser, callback } = await returned({ subject: "dave" }, { name: "mail" });
  assert.equal(await failure(browser, callback), "email_unverified");
  provider.people.dave.email_verified = true;
  const verified = await returned({ subject: "dave" }, { name: "mail" });
  await verified.browser.leads(verified.callback);
  assert.equal((await session(verified.browser)).principal, "oidc:mail:alice@example.com");
});

test("a linked person is the existing principal", async () => {
  provider.people["the-developer"] = { preferred_username: "dev" };
  const { browser, callback } = await returned({ subject: "the-developer" });
  await browser.leads(callback);
  const shown = await session(browser);
  assert.deepEqual([shown.principal, shown.name], ["developer", "dev"]);
  const principals = `${base}/v1/projects/${project}/access/principals`;
  assert.equal((await browser.fetch(principals)).status, 200, "with its own policies");
});

test("a person who declines is told so", async () => {
  const { browser, callback } = await returned({ error: "access_denied" });
  assert.equal(await failure(browser, callback), "denied");
});

test("clocks may differ by the tolerance and no more", async () => {
  const now = Date.now;
  for (const [seconds, expected] of [[50, null], [120, "clock"]]) {
    Date.now = () => now() + seconds * 1_000;
    try {
      const { browser, callback } = await returned({ subject: "alice" });
      if (expected) assert.equal(await failure(browser, callback), expected);
      else assert.equal(await browser.leads(callback), `${console_}#/`);
    } finally {
      Date.now = now;
    }
  }
});

test("a sign-in at another host moves to the public one first", async () => {
  const browser = new Browser();
  const moved = await browser.fetch(`http://localhost:${port}/console/login/corp?return_to=%23%2Fa`);
  assert.equal(moved.headers.get("location"), `${console_}login/corp?return_to=%23%2Fa&canonical=1`);
  const proxied = await browser.fetch(`http://localhost:${port}/console/login/corp?canonical=1`);
  assert.ok(proxied.headers.get("location").startsWith(provider.issuer), "a proxy that changes Host makes no loop");
});

test("a new signing key is read", async () => {
  await new Promise((resolve) => setTimeout(resolve, 1_100)); // Metadata are read at most once a second.
  provider.rotateKeys();
  const { browser, callback } = await returned({ subject: "alice" });
  assert.equal(await browser.leads(callback), `${console_}#/`);
});

test("a provider that is down keeps nobody from a token", async () => {
  const { browser, callback } = await returned({ subject: "alice" });
  await provider.stop();
  assert.equal(await failure(browser, callback), "unavailable");
  const body = JSON.stringify({ token });
  const signedIn = await browser.fetch(`${console_}session`, { method: "POST", headers: json, body });
  assert.equal(signedIn.status, 200);
  await stop(running);
  running = await cluster(config);
  const start = await browser.leads(`${console_}login/corp`);
  assert.equal(start, `${console_}#/sign-in?error=unavailable`, "also at the start of the API");
  assert.equal((await session(browser)).principal, "developer", "sessions outlive a restart");
  await provider.start(provider.port);
  const back = await returned({ subject: "alice" });
  assert.equal(await back.browser.leads(back.callback), `${console_}#/`);
});

test("the link of the first start is a one-time code", async () => {
  assert.match(link, /\/console\/#\/sign-in\?code=[A-Za-z0-9]{48}$/);
  const code = running.ready.console.split("code=")[1];
  const body = JSON.stringify({ one_time_code: code });
  const browser = new Browser();
  assert.equal((await browser.fetch(`${console_}session`, { method: "POST", headers: json, body })).status, 200);
  assert.equal((await session(browser)).principal, "developer");
});

test("the command line signs in with the browser", async () => {
  provider.people.alice = { groups: ["everyone"], email: "alice@example.com", email_verified: true };
  const { browser, callback } = await returned({ subject: "alice" });
  await browser.leads(callback);
  const env = { ...process.env, GRAYWAVE_CONTEXTS: path.join(directory, "contexts.toml") };
  const login = spawn(graywave, ["login", running.ready.grpc, "--browser", base], {
    env, stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  for await (const line of readline.createInterface({ input: login.stderr })) {
    said += `${line}\n`;
    if (!line.includes("/console/cli?")) continue;
    const page = await (await browser.fetch(line.trim(), { headers: { "sec-fetch-site": "none" } })).text();
    assert.match(page, /alice@example\.com/);
    const fields = [...page.matchAll(/name="([a-z_]+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value]);
    assert.ok(said.includes(fields.find(([name]) => name === "challenge")[1].slice(0, 8)), "digits to compare");
    const headers = { ...json, "content-type": "application/x-www-form-urlencoded" };
    const body = new URLSearchParams(fields).toString();
    const allowed = await (await browser.fetch(`${console_}cli`, { method: "POST", headers, body })).text();
    const back = /0;url=([^"]*)"/.exec(allowed)[1].replaceAll("&amp;", "&");
    assert.equal(await (await fetch(back)).text(), "Signed in. Close this page and return to the terminal.\n");
  }
  if (login.exitCode === null) await once(login, "exit");
  assert.equal(login.exitCode, 0, said);
  assert.match(said, /Signed in as oidc:corp:alice until /);
  const ls = spawn(graywave, ["ls"], { env, stdio: ["ignore", "ignore", "pipe"] });
  assert.equal((await once(ls, "exit"))[0], 0, "the saved token works");
});

let failed = 0;
for (const [name, body] of cases) {
  try {
    await body();
    console.log(`ok    ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}
await stop(running);
await provider.stop();
if (failed > 0) console.log(fs.readFileSync(path.join(directory, "log"), "utf8").slice(-8_000));
console.log(`${cases.length - failed} of ${cases.length} passed`);
process.exit(failed === 0 ? 0 : 1);
