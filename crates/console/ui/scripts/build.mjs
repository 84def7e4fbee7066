// Builds the console and compresses its files. Usage: node scripts/build.mjs OUT
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

import { build } from 'vite';

const COMPRESSED = /\.(html|js|css|svg)$/;
const MIN_BYTES = 1_024;

const out = resolve(process.argv[2] ?? '../dist');
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
process.env.GRAYWAVE_CONSOLE_OUT = out;
await build({ logLevel: 'warn' });
for (const path of files(out)) {
  const bytes = readFileSync(path);
  if (!COMPRESSED.test(path) || bytes.length < MIN_BYTES) continue;
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
  writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
}

function files(directory) {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}
