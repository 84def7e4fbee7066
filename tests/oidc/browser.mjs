// A browser without a screen: cookies by host, and redirects one by one.

import assert from "node:assert/strict";

export class Browser {
  cookies = new Map();

  /** Sends a request without following redirects. */
  async fetch(url, options = {}) {
    const jar = this.jar(url);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { ...(cookie && { cookie }), ...options.headers };
    const response = await fetch(url, { ...options, headers, redirect: "manual" });
    for (const line of response.headers.getSetCookie()) {
      const [pair] = line.split(";");
      const name = pair.slice(0, pair.indexOf("="));
      const isDeleted = /max-age=0|expires=thu, 01 jan 1970/i.test(line);
      if (isDeleted) jar.delete(name);
      else jar.set(name, pair.slice(name.length + 1));
    }
    return response;
  }

  jar(url) {
    const { host } = new URL(url);
    if (!this.cookies.has(host)) this.cookies.set(host, new Map());
    return this.cookies.get(host);
  }

  /** Follows redirects until the next address begins with a prefix; returns that address. */
  async follow(url, prefix) {
    for (let steps = 0; steps < 10; steps += 1) {
      const response = await this.fetch(url);
      const location = response.headers.get("location");
      assert.ok(location, `${url}: ${response.status} ${await response.text()}`);
      url = new URL(location, url).href;
      if (url.startsWith(prefix)) return url;
    }
    return assert.fail(`no redirect to ${prefix}`);
  }

  /** Opens a page that leads to another one; returns the address of that one. */
  async leads(url) {
    const response = await this.fetch(url);
    const html = await response.text();
    const found = /http-equiv="refresh" content="0;url=([^"]*)"/.exec(html);
    assert.ok(found, `${url}: ${response.status} ${html}`);
    assert.match(response.headers.get("content-security-policy"), /^default-src 'none'/);
    assert.equal(response.headers.get("cache-control"), "no-store");
    return new URL(found[1].replaceAll("&amp;", "&"), url).href;
  }
}
