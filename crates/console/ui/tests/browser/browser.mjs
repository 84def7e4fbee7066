// Chromium for the tests: starts it, signs in, takes pictures, and looks for accessibility faults.
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

const require = createRequire(import.meta.url);
const AXE = require.resolve('axe-core/axe.min.js');
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--enable-precise-memory-info', '--js-flags=--expose-gc'];

export const launch = () => chromium.launch({ executablePath: process.env.GRAYWAVE_CHROMIUM ?? '/usr/bin/chromium', headless: true, args: FLAGS });

/** A page that fails its test on an error of a script or of the content security policy. */
export async function openPage(browser, { width = 1280, height = 900, theme = 'light', locale = 'en-GB', storage = undefined, context = undefined } = {}) {
  const own = context ?? (await browser.newContext({ viewport: { width, height }, colorScheme: theme, locale, timezoneId: 'Europe/Berlin', reducedMotion: 'reduce', storageState: storage }));
  const page = await own.newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(`script: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) page.faults.push(`console: ${message.text()} (${message.location().url}:${message.location().lineNumber}:${message.location().columnNumber})`);
  });
  page.on('request', (request) => {
    const own = page.url() === 'about:blank' || new URL(request.url()).host === new URL(page.url()).host;
    if (!own && !request.url().startsWith('data:')) page.faults.push(`request to another host: ${request.url()}`);
  });
  return page;
}

/** Violations of WCAG 2.2 A and AA, one line each. */
export async function accessibilityFaults(page) {
  // Playwright evaluates outside the page's content security policy.
  await page.evaluate(readAxe());
  const results = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'] }),
  );
  return results.violations.flatMap((violation) => violation.nodes.map((node) => `${violation.id}: ${node.target.join(' ')} ${(node.any[0] ?? node.all[0] ?? node.none[0])?.message ?? ''}`));
}

let axeText;
function readAxe() {
  axeText ??= require('node:fs').readFileSync(AXE, 'utf8');
  return axeText;
}

/** Whether the page can be scrolled sideways: a fault at every width. */
export const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

export async function picture(page, name, directory) {
  mkdirSync(directory, { recursive: true });
  await page.screenshot({ path: join(directory, `${name}.png`) });
}
