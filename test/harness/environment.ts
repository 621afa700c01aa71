import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout under test. */
export const checkout = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Where the build leaves the shim and what it needs at run time. */
export const distDir = join(checkout, 'dist');

export const runvRuntime = 'io.containerd.runv.v2';
export const runcRuntime = 'io.containerd.runc.v2';

/**
 * The runtime the suite is run against. Another one than runv is for developing the tests: what
 * runc does is what a user of containerd expects, so an assertion must hold there first.
 */
export const runtime = process.env['RUNV_TEST_RUNTIME'] ?? runvRuntime;

export const isRunv = runtime === runvRuntime;

/** Number of runs in the tests that repeat one. */
export function repeats(fallback: number): number {
  const value = Number(process.env['RUNV_TEST_REPEATS'] ?? fallback);
  if (!Number.isInteger(value) || value < 1) throw new Error('RUNV_TEST_REPEATS: not a count');
  return value;
}
