// Measures the console in Chromium on invented tasks of 100,000 and 1,000,000 desktops.
// Usage: node performance.mjs DIST [SECONDS]
// The limits are wide: a shared machine without a graphics card runs the tests.
import { launch, openPage } from './browser.mjs';
import { SimulatedTask, startSimulated } from './simulated.mjs';

const [dist, seconds = '12'] = process.argv.slice(2);
const WIDE = Number(process.env.GRAYWAVE_WIDE ?? 3);
const LIMITS = {
  100_000: { openMs: 1_000 * WIDE, longTaskMs: 50 * WIDE },
  1_000_000: { openMs: 3_000 * WIDE, longTaskMs: 50 * WIDE },
};
const MAX_SCRIPT_KB = 120;
const MAX_HEAP_GROWTH_MB = 12;
const faults = [];

for (const size of [100_000, 1_000_000]) {
  const task = new SimulatedTask({
    id: 'big', title: 'everywhere.sh', size, progress: 0.2, failShare: 0.0005, threshold: '5000', startedMs: Date.now() - 60_000, waves: [100, Math.ceil(size / 100), Math.ceil(size / 10), 'rest'], extra: { total: 5_000 },
  });
  const api = await startSimulated({ dist, tasks: [task], livePerTick: Math.ceil(size / 400) });
  const browser = await launch();
  const page = await openPage(browser, { width: 1600, height: 1000 });
  const bytes = { script: 0 };
  const client = await page.context().newCDPSession(page);
  await client.send('Performance.enable');
  await page.addInitScript(() => {
    globalThis.longTasks = [];
    new PerformanceObserver((list) => globalThis.longTasks.push(...list.getEntries().map((entry) => Math.round(entry.duration)))).observe({ type: 'longtask', buffered: true });
  });
  // The console itself is loaded first: the figure is of the task.
  await page.goto(`${api.url}#/tasks`);
  await page.getByText('everywhere.sh').first().waitFor();
  bytes.script = await page.evaluate(async () => {
    const names = performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => name.endsWith('.js'));
    let total = 0;
    for (const name of names) {
      const body = (await fetch(name)).body.pipeThrough(new CompressionStream('gzip'));
      total += (await new Response(body).arrayBuffer()).byteLength;
    }
    return total;
  });
  const openMs = await page.evaluate(async () => {
    const begun = performance.now();
    location.hash = '#/tasks/big';
    for (;;) {
      await new Promise(requestAnimationFrame);
      const canvas = document.querySelector('canvas');
      if (canvas && canvas.width > 600 && canvas.getContext('2d').getImageData(2, 26, 1, 1).data[1] > 0 && document.querySelector('[role=grid]')) break;
    }
    return performance.now() - begun;
  });
  await page.waitForTimeout(1_500);
  const metrics = async () => Object.fromEntries((await client.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]));
  const heap = async () => {
    await client.send('HeapProfiler.collectGarbage');
    return (await metrics()).JSHeapUsedSize / 1_048_576;
  };
  await page.evaluate(() => (globalThis.longTasks.length = 0));
  const heapBefore = await heap();
  const before = await metrics();
  const frames = await page.evaluate(async (milliseconds) => {
    const begun = performance.now();
    let count = 0;
    while (performance.now() - begun < milliseconds) {
      await new Promise(requestAnimationFrame);
      count += 1;
    }
    return count;
  }, Number(seconds) * 1_000);
  const after = await metrics();
  const longTasks = (await page.evaluate(() => globalThis.longTasks)).sort((a, b) => b - a);
  const heapAfter = await heap();
  const scriptMs = ((after.ScriptDuration - before.ScriptDuration) * 1_000) / frames;
  const limit = LIMITS[size];
  console.log(
    `${size} desktops: open ${Math.round(openMs)} ms, ${Math.round(frames / Number(seconds))} frames/s live, script ${scriptMs.toFixed(1)} ms a frame, ` +
      `longest task ${longTasks[0] ?? 0} ms, heap ${heapBefore.toFixed(1)} to ${heapAfter.toFixed(1)} MB, first view ${(bytes.script / 1024).toFixed(0)} kB of script`,
  );
  if (openMs > limit.openMs) faults.push(`${size} desktops opened in ${Math.round(openMs)} ms, limit ${limit.openMs} ms`);
  if ((longTasks[0] ?? 0) > limit.longTaskMs) faults.push(`a task of the main thread took ${longTasks[0]} ms, limit ${limit.longTaskMs} ms`);
  if (heapAfter - heapBefore > MAX_HEAP_GROWTH_MB) faults.push(`the heap grew from ${heapBefore.toFixed(1)} to ${heapAfter.toFixed(1)} MB`);
  if (bytes.script > MAX_SCRIPT_KB * 1024) faults.push(`the first view has ${Math.round(bytes.script / 1024)} kB of compressed script, limit ${MAX_SCRIPT_KB} kB`);
  faults.push(...page.faults);
  await browser.close();
  await api.close();
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
