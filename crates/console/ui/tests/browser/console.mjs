// The console on a cluster with real agents, as people use it.
// Usage: node console.mjs GRAYWAVE DIRECTORY, with the path of the program and an empty directory.
import assert from 'node:assert/strict';

import { accessibilityFaults, launch, openPage } from './browser.mjs';
import { Cluster } from './cluster.mjs';

const [graywave, directory] = process.argv.slice(2);
const cluster = new Cluster(graywave, directory, 20);
await cluster.start();
const browser = await launch();
const pages = [];
let failed = 0;

async function signedIn(token, options = {}) {
  const page = await openPage(browser, options);
  pages.push(page);
  await page.goto(`${cluster.console}#/sign-in`);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Waiting for me' }).waitFor();
  return page;
}

async function open(page, task, query = '') {
  await page.goto(`${cluster.console}#/tasks/${task}${query}`);
  await page.locator('canvas').first().waitFor();
}

const status = (page, word) => page.locator('.facts').getByText(word, { exact: true }).first().waitFor();
const dialogButton = (page, name) => page.locator('dialog').getByRole('button', { name });
/** Types the number of desktops that a dialog asks for. */
async function confirm(page, button) {
  const field = page.locator('dialog input[inputmode=numeric]');
  if (await field.count()) await field.fill(await field.getAttribute('placeholder'));
  await dialogButton(page, button).click();
}

async function test(name, run) {
  const begun = Date.now();
  try {
    await run();
    const faults = pages.flatMap((page) => page.faults.splice(0));
    assert.deepEqual(faults, []);
    console.log(`${name}: passed, ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  } catch (error) {
    failed += 1;
    console.error(`${name}: FAILED\n${error.stack}`);
    for (const [index, page] of pages.entries()) await page.screenshot({ path: `${directory}/${name}-${index}.png` }).catch(() => undefined);
  }
}

const developer = await signedIn(cluster.ready.token);
const bob = await signedIn(await cluster.person('bob', 'operator'));
const reader = await signedIn(await cluster.person('rita', 'reader'));

await test('one_time_link_signs_in_once', async () => {
  const link = cluster.ready.console.replace(/^.*\/console\//, cluster.console);
  const page = await openPage(browser);
  await page.goto(link);
  await page.getByRole('heading', { name: 'Waiting for me' }).waitFor();
  assert.ok(!page.url().includes('code='));
  await page.context().close();
  const second = await openPage(browser);
  await second.goto(link);
  await second.getByRole('alert').waitFor();
  await second.context().close();
});

await test('wrong_token_is_refused_with_a_reason', async () => {
  const page = await openPage(browser);
  await page.goto(`${cluster.console}#/tasks?show=open`);
  await page.getByLabel('Token').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('This token is not valid').waitFor();
  await page.getByLabel('Token').fill(cluster.ready.token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Tasks' }).waitFor();
  assert.ok(page.url().endsWith('#/tasks?show=open'), 'the address of before the sign-in');
  await page.context().close();
});

await test('halt_is_shown_while_it_happens', async () => {
  const command = 'sleep 2; case $GRAYWAVE_DESKTOP_ID in desktop-0001|desktop-0002) echo "disk full on $GRAYWAVE_DESKTOP_ID"; exit 3;; esac';
  const task = await cluster.run(command, 10, { gray_count: 4, gray_resource_ids: ['desktop-0001', 'desktop-0002', 'desktop-0003', 'desktop-0004'], gray_fail_threshold: 2 });
  await open(developer, task);
  await status(developer, 'Halted');
  await developer.getByText('the fail threshold 2 is reached').first().waitFor();
  await developer.getByRole('button', { name: 'Skipped 6' }).waitFor();
  await developer.getByRole('link', { name: 'Failures' }).click();
  await developer.getByText('disk full on').first().waitFor();
  assert.deepEqual(await accessibilityFaults(developer), []);
});

await test('second_person_approves_the_next_wave', async () => {
  const rollout = { waves: [{ count: 2 }, { rest: true }], fail_threshold: { count: 1 }, approval: { before_waves: [2], distinct_approver: true } };
  const task = await cluster.run('true', 6, { rollout });
  await bob.goto(`${cluster.console}#/`);
  const row = bob.getByRole('listitem').filter({ hasText: 'Approval' });
  await row.getByRole('button', { name: 'Approve wave 2' }).click();
  await dialogButton(bob, 'Approve (4)').click();
  await open(bob, task);
  await status(bob, 'Succeeded');
});

await test('pause_works_at_once_from_a_list', async () => {
  const task = await cluster.run('sleep 1', 20, { rollout: { waves: [{ count: 10 }, { rest: true }], fail_threshold: { count: 5 }, max_concurrency: 1 } });
  await developer.goto(`${cluster.console}#/`);
  await developer.getByRole('grid').getByRole('button', { name: 'Pause' }).first().click();
  await developer.getByText('Paused:').first().waitFor();
  assert.equal((await cluster.call('GET', `/tasks/${task}`)).paused, true);
  await open(developer, task);
  await developer.keyboard.press('p');
  await developer.getByRole('button', { name: 'Pause' }).waitFor();
  assert.equal((await cluster.call('GET', `/tasks/${task}`)).paused, false);
  await developer.getByRole('button', { name: 'Actions' }).click();
  await developer.getByRole('button', { name: 'Stop and kill' }).click();
  const kill = dialogButton(developer, 'Stop and kill');
  assert.equal(await kill.getAttribute('aria-disabled'), 'true', 'the number is missing');
  await confirm(developer, 'Stop and kill');
  await status(developer, 'Stopped');
});

await test('rest_of_a_task_is_retried', async () => {
  const task = await cluster.run('test $GRAYWAVE_ATTEMPT = 2', 3, { rollout: { fail_threshold: { count: 3 } } });
  await open(developer, task);
  await developer.getByRole('button', { name: 'Retry the rest' }).click();
  await confirm(developer, /Retry the rest/);
  await developer.waitForURL((url) => url.hash.startsWith('#/tasks/') && !url.hash.includes(task));
  await status(developer, 'Succeeded');
});

await test('markup_in_output_stays_text', async () => {
  const task = await cluster.run(`echo '<img src=x onerror="document.title=1"><script>alert(1)</script>'; echo two`, 1);
  await open(developer, task, '?select=0');
  await developer.getByRole('log').getByText('<img src=x').waitFor();
  assert.equal(await developer.locator('.viewer img, .viewer script').count(), 0);
  await developer.getByLabel('Find in the output').fill('SCRIPT');
  await developer.getByText('1 / 2').waitFor();
});

await test('output_of_a_running_script_follows', async () => {
  const task = await cluster.run('for i in 1 2 3 4 5 6; do echo "line $i of six"; sleep 1; done', 1);
  await open(developer, task, '?select=0');
  await developer.getByRole('log').getByText('line 2 of six').waitFor();
  assert.notEqual((await cluster.call('GET', `/tasks/${task}`)).status, 'SUCCESS', 'the script still runs');
  await developer.getByRole('log').getByText('line 6 of six').waitFor();
});

await test('forbidden_action_names_what_is_missing', async () => {
  const task = await cluster.run('sleep 20', 1);
  await open(reader, task);
  const button = reader.getByRole('button', { name: /^Pause/ });
  await reader.waitForFunction(() => document.querySelector('.head [aria-disabled=true]'));
  assert.match(await button.getAttribute('title'), /graywave:tasks:pause/);
  await button.click({ force: true });
  assert.equal((await cluster.call('GET', `/tasks/${task}`)).paused, false);
  await cluster.call('POST', `/tasks/${task}/stop`, { mode: 'kill' });
});

await test('map_and_table_select_by_keyboard', async () => {
  const task = await cluster.run('test $GRAYWAVE_DESKTOP_ID != desktop-0003', 6, { rollout: { fail_threshold: { count: 6 } } });
  await open(developer, task);
  await status(developer, 'Failed');
  const map = developer.getByRole('application');
  await map.focus();
  await developer.keyboard.press('Home');
  await developer.keyboard.press('f');
  await developer.keyboard.press('Enter');
  await developer.getByRole('dialog', { name: /desktop-0003/ }).waitFor();
  assert.match(developer.url(), /select=2/);
  await developer.keyboard.press('Escape');
  await developer.getByRole('button', { name: 'Failed 1' }).click();
  const rows = developer.getByRole('grid').getByRole('row');
  await developer.getByRole('grid').getByText('desktop-0003').waitFor();
  assert.equal(await rows.count(), 2, 'the head and one row');
});

await test('page_tokens_are_those_of_the_server', async () => {
  const task = await cluster.run('true', 8);
  const page = await cluster.call('GET', `/tasks/${task}/targets?page_size=5`);
  assert.equal(page.next_page_token, Buffer.from('4').toString('hex'));
  const records = await cluster.call('GET', `/tasks/${task}/records?page_token=${Buffer.from('4-65535').toString('hex')}`);
  assert.equal(records.records[0].ordinal, 5);
});

await test('seven_tabs_share_one_stream', async () => {
  const context = developer.context();
  const tabs = [];
  let streams = 0;
  context.on('request', (request) => {
    if (new URL(request.url()).pathname.endsWith('/events')) streams += 1;
  });
  const task = await cluster.run('sleep 3', 2);
  for (let index = 0; index < 6; index += 1) {
    const tab = await openPage(browser, { context });
    await tab.goto(`${cluster.console}#/tasks/${task}`);
    tabs.push(tab);
  }
  for (const tab of tabs) await status(tab, 'Succeeded');
  assert.ok(streams <= 2, `${streams} new streams: the first tab alone follows, again when the maps change`);
  // Another tab takes over when the first one closes.
  await developer.goto('about:blank');
  const next = await cluster.run('sleep 2', 1);
  await tabs[0].goto(`${cluster.console}#/tasks/${next}`);
  await status(tabs[0], 'Succeeded');
  await tabs[0].getByText('Live', { exact: true }).waitFor();
  for (const tab of tabs) await tab.close();
  await developer.goto(`${cluster.console}#/`);
});

await test('restart_of_the_api_is_survived', async () => {
  // Nothing runs during the restart: a dev cluster stops its agents too.
  const rollout = { waves: [{ count: 1 }, { rest: true }], fail_threshold: { count: 3 }, approval: { before_waves: [2] } };
  const task = await cluster.run('true', 20, { rollout });
  await open(developer, task);
  await developer.getByText('Live', { exact: true }).waitFor();
  await developer.getByRole('button', { name: 'Succeeded 1' }).waitFor();
  await cluster.stop();
  await developer.getByText(/No connection|Every 5 s/).first().waitFor();
  await cluster.start();
  await developer.getByText('Live', { exact: true }).waitFor({ timeout: 40_000 });
  await cluster.call('POST', `/tasks/${task}/waves/2/approve`, {});
  await developer.getByRole('button', { name: 'Succeeded 20' }).waitFor({ timeout: 60_000 });
  await status(developer, 'Succeeded');
  developer.faults.length = bob.faults.length = reader.faults.length = 0;
});

await test('sign_out_ends_the_session', async () => {
  await bob.goto(`${cluster.console}#/`);
  await bob.getByRole('button', { name: /Account of/ }).click();
  await bob.getByRole('button', { name: 'Sign out', exact: true }).click();
  await bob.getByLabel('Token').waitFor();
  await bob.goto(`${cluster.console}#/tasks`);
  await bob.getByLabel('Token').waitFor();
});

await browser.close();
await cluster.stop();
process.exitCode = failed === 0 ? 0 : 1;
