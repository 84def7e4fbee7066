// New rollout, scripts, desktops, workers, audit and access on a cluster with real agents.
// Usage: node forms.mjs GRAYWAVE DIRECTORY [DIST] [PICTURES] [NAMES]; with DIST that build is served instead of the
// program's, and NAMES is a regular expression of the tests to run.
import assert from 'node:assert/strict';

import { accessibilityFaults, launch, openPage, overflows, picture } from './browser.mjs';
import { Cluster } from './cluster.mjs';
import { startForwarded } from './forward.mjs';

const [graywave, directory, dist, pictures, names = ''] = process.argv.slice(2);
const cluster = new Cluster(graywave, directory, 12);
await cluster.start();
const served = dist ? await startForwarded({ dist, http: cluster.ready.http, project: cluster.ready.project_id, token: cluster.ready.token }) : null;
const home = served?.url ?? cluster.console;
const browser = await launch();
/** Time for the data of a view; polling never lets the network rest. */
const SETTLE_MS = 1_000;
let failed = 0;
let page = await signedIn();

async function signedIn(options = {}) {
  const opened = await openPage(browser, options);
  if (served) await opened.goto(`${home}#/`);
  else {
    await opened.goto(`${home}#/sign-in`);
    await opened.getByLabel(/^(Token|令牌)$/).fill(cluster.ready.token);
    await opened.getByRole('button', { name: /^(Sign in|登录)$/ }).click();
  }
  await opened.getByRole('heading', { name: /Waiting for me|待我处理/ }).waitFor();
  return opened;
}

async function test(name, run) {
  if (!new RegExp(names).test(name)) return;
  try {
    await run();
    assert.deepEqual(page.faults.splice(0), []);
    console.log(`${name}: passed`);
  } catch (error) {
    failed += 1;
    console.error(`${name}: FAILED\n${error.stack}`);
    await page.screenshot({ path: `${directory}/${name}.png` }).catch(() => undefined);
  }
}

const go = (hash) => page.goto(`${home}#${hash}`);
const button = (name) => page.getByRole('button', { name });
const start = () => page.getByRole('button', { name: /^Start/ });
const isBlocked = async (locator) => (await locator.getAttribute('aria-disabled')) === 'true';
const tasks = async () => (await cluster.call('GET', '/tasks')).tasks.length;

async function emptyForm() {
  await go('/new');
  await button('Clear the form').click();
}
/** Replaces the text of the editor by a paste, as people do with scripts. */
async function write(text) {
  const content = page.locator('.cm-content').first();
  await content.click();
  await page.keyboard.press('Control+a');
  await content.evaluate((element, pasted) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', pasted);
    element.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}
async function preview() {
  await page.getByRole('button', { name: /Show the plan|Preview again/ }).click();
  await page.getByText('Worst case').first().waitFor();
}

await test('pasted_list_of_any_form_is_previewed_and_run', async () => {
  await emptyForm();
  assert.ok(await isBlocked(start()), 'no start without a preview');
  await write('uname -n');
  await page.getByLabel('Desktop ids').last().fill('\u{feff}desktop-0001, desktop-0002;\r\n"desktop-0003",\ndesktop-0001,,\n');
  await page.getByText('3 desktops', { exact: false }).first().waitFor();
  await page.getByText('1 repetition left out').waitFor();
  await preview();
  await page.getByText('1 canary and its reason').waitFor();
  assert.ok(!(await isBlocked(start())), 'a preview enables the start');
  await page.getByLabel('Desktops in the gray wave').fill('2');
  assert.ok(await isBlocked(start()), 'a change of input disables the start');
  await preview();
  const before = await tasks();
  await start().dblclick();
  await page.waitForURL(/#\/tasks\/[0-9a-f]+/);
  assert.equal(await tasks(), before + 1, 'a double click starts one task');
  await page.getByText('The rollout has started with the plan of the preview.').waitFor();
});

await test('unknown_ids_are_named_and_removed', async () => {
  await emptyForm();
  await write('true');
  await page.getByLabel('Desktop ids').last().fill('desktop-0001 nope-1 nope-2');
  await button('Show the plan').click();
  await button('Remove 2 unknown ids').click();
  await preview();
  assert.match(await start().innerText(), /1 desktop/);
});

await test('error_of_the_api_appears_at_its_field', async () => {
  await emptyForm();
  await write('true');
  await page.getByLabel('Desktop ids').last().fill('desktop-0001 desktop-0002');
  await page.getByLabel('Desktops in the gray wave').fill('5');
  await button('Show the plan').click();
  await page.locator('[data-field=gray_count] .error').getByText('larger than the number of desktops').waitFor();
  await page.getByRole('radio', { name: 'Waves' }).check({ force: true });
  await page.getByLabel('Wave 1: size').fill('nothing');
  assert.match(await page.locator('[data-field="waves.0.size"] .error').innerText(), /Write a number/);
  assert.ok(await isBlocked(start()));
});

await test('reload_keeps_the_form', async () => {
  await emptyForm();
  await write('echo kept');
  await page.getByRole('radio', { name: 'Tag' }).check({ force: true });
  await page.getByLabel('Tag').last().fill('group=dev');
  await page.waitForURL(/tag=group/);
  await page.reload();
  await page.locator('.cm-content').getByText('echo kept').waitFor();
  assert.equal(await page.locator('[data-field=desktop_tag] input').inputValue(), 'group=dev');
  assert.ok(!Object.values(await page.evaluate(() => ({ ...localStorage }))).join().includes('kept'), 'no script in localStorage');
  assert.ok(!page.url().includes('kept'), 'no script in the address');
});

await test('script_is_saved_compared_run_and_deleted', async () => {
  await go('/scripts/new');
  await page.getByLabel('Name').first().fill('Free disk.sh');
  await write('#!/bin/sh\nset -eu\nexit 300\n');
  await page.getByText('Exit code 300 is outside 0 to 255').waitFor();
  await button('Save').click();
  await page.getByRole('heading', { name: 'Free disk.sh' }).waitFor();
  await page.getByRole('link', { name: 'Edit' }).click();
  await write('#!/bin/sh\nset -eu\nexit 0\n');
  await button('Show differences').click();
  await page.locator('.cm-deletedChunk').first().waitFor();
  await button('Save revision 2').click();
  await page.getByText('Saved as revision 2').waitFor();
  await page.getByRole('link', { name: 'Revisions' }).click();
  await page.locator('.cm-deletedChunk').getByText('exit 300').waitFor();
  await page.getByRole('link', { name: 'Run' }).click();
  await page.getByText('Revision 2').first().waitFor();
  await page.getByLabel('Desktop ids').last().fill('desktop-0004 desktop-0005');
  await preview();
  await start().click();
  await page.waitForURL(/#\/tasks\/[0-9a-f]+/);
  await go('/scripts?q=free');
  await page.getByRole('link', { name: 'Free disk.sh' }).click();
  await page.getByRole('link', { name: 'Where used' }).click();
  await page.getByText('1 task').waitFor();
  await button('Delete').click();
  await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.waitForURL(/#\/scripts$/);
});

await test('desktop_is_tagged_and_shows_its_records', async () => {
  await go('/desktops?q=desktop-0001');
  await page.getByRole('link', { name: 'desktop-0001' }).click();
  await page.getByLabel('Set a tag').fill('ring=pilot');
  await button('Set').click();
  await page.getByRole('link', { name: 'ring=pilot' }).click();
  await page.waitForURL(/tag=ring/);
  await page.getByRole('link', { name: 'New rollout on these' }).waitFor();
  await go('/desktops/desktop-0001');
  await page.getByText('uname -n').first().waitFor();
});

await test('retire_needs_the_typed_number', async () => {
  await go('/desktops/desktop-0012');
  await button('Retire').click();
  const confirm = page.locator('dialog').getByRole('button', { name: 'Retire' });
  assert.ok(await isBlocked(confirm));
  await page.locator('dialog input[inputmode=numeric]').fill('1');
  await confirm.click();
  await button('Put back into service').waitFor();
  await go('/desktops?retired=ONLY');
  await page.getByRole('link', { name: 'desktop-0012' }).waitFor();
});

await test('audit_is_filtered_and_an_entry_opens', async () => {
  await go('/audit?action=graywave:desktops:retire');
  await page.getByText('desktop:desktop-0012').first().click();
  await page.locator('dialog').getByRole('link', { name: 'desktop:desktop-0012' }).waitFor();
  await page.keyboard.press('Escape');
  await button('Verify').click();
  await page.getByText('graywave audit verify --project').waitFor();
  await page.keyboard.press('Escape');
});

await test('secret_is_shown_once_and_kept_nowhere', async () => {
  await go('/access?tab=principals');
  await button('New principal').click();
  await page.getByLabel('Principal').last().fill('ann');
  await page.locator('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByText('The policies of ann are saved.').waitFor();
  await go('/access?tab=tokens');
  await button('New token').click();
  await page.locator('dialog').getByLabel('Principal').fill('ann');
  await page.locator('dialog').getByRole('button', { name: 'Create' }).click();
  const secret = await page.locator('[data-secret]').innerText();
  assert.ok(secret.length > 20);
  await button('I have copied it').click();
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href, document.documentElement.outerHTML]));
  assert.ok(!kept.includes(secret), 'the secret is gone with its dialog');
});

await test('policy_of_the_project_is_put_and_deleted', async () => {
  await go('/access?tab=policies');
  await button('New policy').click();
  await page.getByLabel('Name').last().fill('nightly');
  await page.getByLabel('Document').fill('{');
  await page.getByText('This is not JSON').waitFor();
  await page.getByLabel('Document').fill('{"Version":"5.0","Statement":[{"Effect":"Deny","Action":["workspace:scripts:execute"],"Resource":["desktop:boss-*"]}]}');
  await page.locator('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'nightly' }).waitFor();
  await button('Delete').click();
  await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('heading', { name: 'reader' }).waitFor();
});

const { script_id: script } = await cluster.call('POST', '/scripts', { name: 'example.sh', script_type: 'SHELL', content: '#!/bin/sh\nset -eu\ndf -h /\n' });
await cluster.call('PUT', `/scripts/${script}`, { name: 'example.sh', content: '#!/bin/sh\nset -eu\ndf -h / /home\n' });
const VIEWS = [
  ['rollout', '/new?tag=group%3Ddev'],
  ['scripts', '/scripts'],
  ['script-new', '/scripts/new'],
  ['script', `/scripts/${script}`],
  ['script-edit', `/scripts/${script}?tab=edit`],
  ['script-revisions', `/scripts/${script}?tab=revisions`],
  ['script-used', `/scripts/${script}?tab=used`],
  ['desktops', '/desktops'],
  ['desktop', '/desktops/desktop-0001'],
  ['workers', '/workers'],
  ['audit', '/audit'],
  ['access-principals', '/access?tab=principals'],
  ['access-policies', '/access?tab=policies'],
  ['access-tokens', '/access?tab=tokens'],
  ['access-keys', '/access?tab=keys'],
  ['access-enrolment', '/access?tab=enrolment'],
];
for (const [theme, width, locale] of [['light', 1280, 'en-GB'], ['dark', 1280, 'en-GB'], ['light', 380, 'zh-CN'], ['dark', 1600, 'zh-CN']]) {
  page = await signedIn({ theme, width, locale });
  for (const [name, hash] of VIEWS) {
    await test(`${name}_${theme}_${width}_is_accessible`, async () => {
      await go(hash);
      await page.locator('main h1').first().waitFor();
      await page.waitForTimeout(SETTLE_MS);
      if (name === 'rollout') await page.locator('details').last().evaluate((one) => (one.open = true));
      if (pictures) await picture(page, `${name}-${width}-${theme}`, pictures);
      assert.ok(!(await overflows(page)), 'the page scrolls sideways');
      assert.deepEqual(await accessibilityFaults(page), []);
    });
  }
}

await browser.close();
served?.close();
await cluster.stop();
process.exit(failed === 0 ? 0 : 1);
