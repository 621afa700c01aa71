/**
 * code-cache.ts BUNDLE FILE: writes to FILE what V8 makes of a bundle, of each of its functions.
 * Run with `--random-seed=1` it writes the same bytes each time; V8 takes them whatever its seed is.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { bundleScript } from '../agent/bundle-script.ts';

const [bundle = '', file = ''] = process.argv.slice(2);
const source = readFileSync(bundle, 'utf8');
if (/[^\0-\x7f]/.test(source)) throw new Error(`${bundle} is not ASCII`);

// Of the functions, too, that nothing has called.
setFlagsFromString('--no-lazy');
const script = bundleScript('agent.cjs', source);
setFlagsFromString('--lazy');
const cache = script.createCachedData();
// V8 refuses what was made with other flags.
if (bundleScript('agent.cjs', source, cache).cachedDataRejected !== false) {
  throw new Error('V8 does not take its own code cache');
}
writeFileSync(file, cache);
