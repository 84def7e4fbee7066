// Pictures and accessibility of every view, in both themes and three widths, on invented tasks.
// Usage: node views.mjs DIST [PICTURES] [NAME]
import { accessibilityFaults, launch, openPage, overflows, picture } from './browser.mjs';
import { exampleAttention, exampleTasks } from './examples.mjs';
import { startSimulated } from './simulated.mjs';

const [dist, pictures, only] = process.argv.slice(2);
const VIEWS = [
  ['sign-in', '#/sign-in', async () => undefined],
  ['home', '#/', async (page) => page.getByText('patch-openssl.sh').first().waitFor()],
  ['tasks', '#/tasks', async (page) => page.getByText('disk-report.sh').first().waitFor()],
  ['task', '#/tasks/01a231787', async (page) => page.locator('canvas').waitFor()],
  ['task-halted', '#/tasks/01a231789?select=3', async (page) => page.getByText('checking package').first().waitFor()],
  ['task-groups', '#/tasks/01a231790?color=group', async (page) => page.getByRole('heading', { name: 'Failure groups' }).waitFor()],
  ['failures', '#/tasks/01a231790?tab=failures', async (page) => page.getByText('disk full').first().waitFor()],
  ['timeline', '#/tasks/01a231790?tab=timeline', async (page) => page.locator('svg path.failed').waitFor()],
  ['replay', '#/tasks/01a231790?tab=replay', async (page) => page.locator('canvas').waitFor()],
  ['details', '#/tasks/01a231790?tab=details', async (page) => page.getByText('Plan hash').waitFor()],
];
const SIZES = [[380, 760], [1280, 900], [1600, 1000]];

const tasks = exampleTasks();
const api = await startSimulated({ dist, tasks, attention: exampleAttention(tasks), denied: ['workspace:scripts:stop'] });
const browser = await launch();
const faults = [];
for (const theme of ['light', 'dark']) {
  for (const [width, height] of SIZES) {
    const page = await openPage(browser, { width, height, theme });
    for (const [name, hash, ready] of VIEWS) {
      if (only && only !== name) continue;
      await page.goto(`${api.url}${hash}`);
      await page.reload();
      try {
        await ready(page);
      } catch (error) {
        faults.push(`${name}: ${error.message.split('\n')[0]}`);
      }
      await page.waitForTimeout(400);
      if (pictures) await picture(page, `${name}-${width}-${theme}`, pictures);
      if (await overflows(page)) faults.push(`${name} ${width}: the page scrolls sideways`);
      if (width !== 1600) for (const fault of await accessibilityFaults(page)) faults.push(`${name} ${width} ${theme}: ${fault}`);
      faults.push(...page.faults.splice(0).map((fault) => `${name} ${width} ${theme}: ${fault}`));
    }
    await page.context().close();
  }
}
await browser.close();
await api.close();
for (const fault of new Set(faults)) console.error(fault);
console.log(`${VIEWS.length} views, ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
