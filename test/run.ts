/**
 * `make test`: the unit tests, then whole containers through a real containerd.
 *
 *   run.ts [--unit] [--e2e] [--kvm] [FILE…]    without arguments: unit and end-to-end tests
 *
 * `--kvm` is for a host with KVM, vhost-vsock and cgroup v2: the end-to-end tests and those that
 * need such a host. RUNV_TEST_REPORT names a file that gets the results as JUnit's XML.
 *
 * Ends with node's own counts, what was skipped and why, and one line `N passed, N failed, N
 * skipped`; its exit status is 0 only when nothing failed and exactly the known tests were skipped.
 */
import { createWriteStream, globSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { junit, spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { patient } from './harness/command.ts';
import { checkout, isRunv } from './harness/environment.ts';
import { busyboxImage, configuredImage, debianImage, pauseImage } from './harness/image.ts';
import { environmentName, expectedSkips, skipDifferences, skipLine } from './harness/skip.ts';

/** Milliseconds for one test; those that take longer say so themselves. Guards against hanging. */
const testDeadlineMs = 240_000;

/** One file with whole containers after the other: an emulated guest takes a processor, and machines have 2. */
const containersAtOnce = Number(process.env['RUNV_TEST_CONCURRENCY'] ?? 1);

interface Totals {
  passed: number;
  failed: number;
  readonly skips: string[];
}

const notTests = ['**/node_modules/**', 'build/**', 'dist/**'];

function find(pattern: string): string[] {
  return globSync(pattern, { cwd: checkout, exclude: notTests }).sort();
}

async function runFiles(
  what: string,
  files: string[],
  totals: Totals,
  concurrency = containersAtOnce,
): Promise<void> {
  if (files.length === 0) return;
  console.log(`\n=== ${what}: ${files.length} files`);
  const stream = run({ files, cwd: checkout, concurrency, timeout: patient(testDeadlineMs) });
  // a file is reported, too, as a test that holds the others: only the innermost are counted
  const count = (data: { name: string; skip?: string | boolean; details: { type?: string } }) =>
    data.details.type !== 'suite' && !files.some((file) => data.name.endsWith(file));
  stream.on('test:pass', (data) => {
    if (!count(data)) return;
    if (data.skip === undefined || data.skip === false) totals.passed += 1;
    else totals.skips.push(skipLine(data.name, String(data.skip)));
  });
  // whatever fails counts: a hook or a whole file, too
  stream.on('test:fail', () => (totals.failed += 1));
  const report = stream.compose(spec()) as Readable;
  report.pipe(process.stdout, { end: false });
  const { RUNV_TEST_REPORT: file } = process.env;
  if (file !== undefined) {
    mkdirSync(dirname(file), { recursive: true });
    (stream.compose(junit) as Readable).pipe(createWriteStream(file));
  }
  await finished(report);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      unit: { type: 'boolean' },
      e2e: { type: 'boolean' },
      kvm: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  const kvm = values.kvm === true;
  const all = positionals.length === 0 && values.unit !== true && values.e2e !== true && !kvm;
  const totals: Totals = { passed: 0, failed: 0, skips: [] };
  if (all || values.unit === true) {
    const files = find('{proto,shim,agent,kernel-config,rootfs-builder,deploy}/**/*.test.ts');
    await runFiles(
      'unit tests',
      [...files, ...find('test/{*,harness/*,bench/*,lab/*}.test.ts')],
      totals,
      availableParallelism(),
    );
  }
  if (all || kvm || values.e2e === true) {
    console.log('\n=== test images');
    // once, ahead: two files that started together would both build them
    for (const build of [busyboxImage, configuredImage, debianImage, pauseImage]) {
      console.log(`${(await build()).name} is ready`);
    }
    const files = find('test/e2e/**/*.test.ts');
    // first what the rest relies on: that KVM is what runs the guests
    await runFiles(
      'end-to-end tests',
      kvm ? [...find('test/kvm/*.test.ts'), ...files] : files,
      totals,
    );
  }
  await runFiles('chosen files', positionals.flatMap(find), totals);

  const environment = environmentName();
  for (const line of totals.skips) console.log(`skipped: ${line}`);
  // another runtime than runv skips what only runv does, and a part of the suite skips a part
  const differences =
    isRunv && (all || kvm) ? skipDifferences(totals.skips, expectedSkips(environment)) : [];
  for (const line of differences) console.log(`test/skips/${environment}.txt: ${line}`);
  const { passed, failed, skips } = totals;
  console.log(`\n${passed} passed, ${failed} failed, ${skips.length} skipped`);
  return failed === 0 && passed > 0 && differences.length === 0 ? 0 : 1;
}

process.exitCode = await main();
