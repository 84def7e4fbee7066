"use strict";
// Signs requests with the official SDK for Node.js, against a running `graywave dev`, and sends
// their queries in every form that HTTP libraries use. The signature covers the values, so their
// encoding must not matter. Each special character is tried in a path, in a query, and in repeated
// parameters.
//
// Usage: node sdk.js READY, where READY is the line of JSON that `graywave dev` prints.

const assert = require("node:assert/strict");
const { BasicCredentials } = require("@huaweicloud/huaweicloud-sdk-core");
// The package's ClientBuilder needs a package that the SDK does not declare, so build both objects
// here.
const { DefaultHttpClient } = require("@huaweicloud/huaweicloud-sdk-core/http/DefaultHttpClient");
const { HcClient } = require("@huaweicloud/huaweicloud-sdk-core/HcClient");
const axios = require("axios");

const ready = JSON.parse(process.argv[2]);
const NAME = "café 100% + a/b ~*'()";

const urlSearchParams = (params) => {
  const pairs = Object.entries(params).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  return new URLSearchParams(pairs).toString();
};
// Every printable ASCII character but letters and digits, and text whose order differs between
// Unicode, UTF-16 and the encoded form.
const SPECIAL = [..." !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "é", "中", "\uff21", "😀"];
/** The query as Go's url.Values.Encode writes it. */
const goValues = (params) =>
  urlSearchParams(params).replaceAll("*", "%2A").replaceAll("%7E", "~");
const SPELLINGS = {
  "url.Values of Go": goValues,
  "the SDK's own, querystring": undefined,
  "URLSearchParams": urlSearchParams,
  "the default of axios": (params) => axios.getUri({ url: "", params, paramsSerializer: { indexes: null } }).slice(1),
  "URLSearchParams with lower-case digits": (params) =>
    urlSearchParams(params).replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
  "URLSearchParams in reverse order": (params) => urlSearchParams(params).split("&").reverse().join("&"),
};

const credentials = new BasicCredentials()
  .withAk(ready.access_key)
  .withSk(ready.secret_key)
  .withProjectId(ready.project_id);
const silent = { debug() {}, error() {} };
const client = new HcClient(new DefaultHttpClient({ logger: silent }, [ready.http]))
  .withCredential(credentials)
  .withEndpoints([ready.http]);

/** Sends a signed request; `sent.query` is the query as sent. */
function call(method, path, queryParams, serialize, data) {
  const sent = {};
  const axiosRequestConfig = serialize && {
    paramsSerializer: { serialize: (params) => (sent.query = serialize(params)) },
  };
  const options = {
    method, url: `/v2/${ready.project_id}${path}`, pathParams: {}, queryParams, headers: {}, data,
    contentType: "application/json", axiosRequestConfig,
  };
  return client.sendRequest(options).then((body) => ({ body, sent }));
}

async function spelling(name, serialize, script_id, desktops) {
  const scripts = await call("GET", "/scripts", { name: NAME, type: "SHELL" }, serialize);
  assert.deepEqual(scripts.body.scripts.map((script) => script.id), [script_id], name);
  if (name.startsWith("URLSearchParams")) {
    assert.match(scripts.sent.query, /100%25\+%2[Bb]\+a%2[Ff]b/, "spaces go as plus signs");
  }
  const times = { execute_time_start: "2021-10-01T12:00:00Z", execute_time_end: "2099-10-01T12:00:00Z" };
  const tasks = await call("GET", "/script-execution-tasks", { ...times, script_name: "not there" }, serialize);
  assert.equal(tasks.body.count, 0, name);
  const some = await call("GET", "/desktops", { desktop_id: desktops, tag: "group=dev" }, serialize);
  assert.deepEqual(some.body.desktops.map((desktop) => desktop.desktop_id), desktops, name);
  console.log(`   signed queries are accepted: ${name}`);
}

/** Each special character in a value, alone and with an escape of its own. */
async function inQueries(name, serialize) {
  for (const character of SPECIAL) {
    for (const value of [`a${character}b`, `${character}20 ${character}`]) {
      const found = await call("GET", "/scripts", { name: value }, serialize);
      assert.equal(found.body.count, 0, `${name}: ${value}`);
    }
  }
  // The SDK sorts the values of a name in place, by UTF-16.
  const names = SPECIAL.map((character) => `${character}x`);
  const found = await call("GET", "/script-execution-records", { script_name: names }, serialize);
  assert.equal(found.body.count, 0, name);
  console.log(`   special characters are accepted in queries: ${name}`);
}

/** Each special character in a path, as it is and escaped. An unknown id is a 404, and a refused signature a 401. */
async function inPaths() {
  for (const character of SPECIAL) {
    const forms = [encodeURIComponent(`a${character}b`)];
    // These end the path or are separators in it, unless they are escaped.
    if (!["#", "?", "/", "\\", "%"].includes(character)) forms.push(`a${character}b`, `${character} b`);
    for (const form of forms) {
      const unknown = call("GET", `/scripts/${form}`, {});
      await assert.rejects(unknown, { httpStatusCode: 404 }, `in a path: ${form}`);
    }
  }
  console.log("   special characters are accepted in paths");
}

/** A query that differs from the signed one is refused. */
async function refusal() {
  const literalPlus = (params) => urlSearchParams(params).replaceAll("%2B", "+");
  await assert.rejects(call("GET", "/scripts", { name: NAME }, literalPlus), { httpStatusCode: 401 });
  console.log("   an unencoded plus is refused: it means a space");
}

async function main() {
  const script = { name: NAME, type: "SHELL", content: "true" };
  const created = await call("POST", "/scripts", {}, undefined, script);
  const listed = await call("GET", "/desktops", { status: "ACTIVE" });
  const desktops = listed.body.desktops.slice(0, 2).map((desktop) => desktop.desktop_id);
  for (const [name, serialize] of Object.entries(SPELLINGS)) {
    await spelling(name, serialize, created.body.script_id, desktops);
    await inQueries(name, serialize);
  }
  await inPaths();
  await refusal();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
