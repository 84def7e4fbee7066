// Compares two built consoles, file by file. Usage: node scripts/compare.mjs COMMITTED BUILT
// Compressed files are compared by their content: their bytes depend on the version of Node.js.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';

const [committed, built] = process.argv.slice(2).map((path) => hashes(resolve(path)));
const faults = [];
for (const name of [...new Set([...committed.keys(), ...built.keys()])].sort()) {
  if (!built.has(name)) faults.push(`${name} is committed, but no longer built`);
  else if (!committed.has(name)) faults.push(`${name} is built, but not committed`);
  else if (committed.get(name) !== built.get(name)) faults.push(`${name} differs from its sources`);
}
for (const fault of faults) console.error(fault);
if (faults.length > 0) console.error('run `cargo xtask console --write` and commit crates/console/dist');
process.exitCode = faults.length === 0 ? 0 : 1;

function hashes(root) {
  const found = new Map();
  for (const path of files(root)) found.set(relative(root, path), createHash('sha256').update(content(path)).digest('hex'));
  return found;
}

function content(path) {
  const bytes = readFileSync(path);
  if (path.endsWith('.gz')) return gunzipSync(bytes);
  return path.endsWith('.br') ? brotliDecompressSync(bytes) : bytes;
}

function files(directory) {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}
