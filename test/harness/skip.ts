import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { checkout } from './environment.ts';

/** Skips a test and says what the machine lacks for it. */
export function skipped(t: TestContext, missing: string): void {
  console.log(`skipped: ${missing}`);
  t.skip(missing);
}

/**
 * Machines differ in what they can show, and a check-in list for each kind keeps a skip from
 * passing unseen. RUNV_TEST_ENVIRONMENT names another kind than the one found.
 */
export function environmentName(): string {
  const found = existsSync('/dev/kvm') && existsSync('/dev/vhost-vsock') ? 'kvm' : 'tcg';
  return process.env['RUNV_TEST_ENVIRONMENT'] ?? found;
}

/** A skipped test as the list has it: one line, `name: what is missing`. */
export function skipLine(name: string, missing: string): string {
  return `${name}: ${missing}`;
}

/** Lines of test/skips/NAME.txt without blank ones and comments. */
export function expectedSkips(environment: string): string[] {
  const path = join(checkout, 'test', 'skips', `${environment}.txt`);
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/**
 * A line that begins with `? ` is of what only some machines of the kind lack.
 * @returns one line for each difference; none when the sets are equal
 */
export function skipDifferences(found: readonly string[], expected: readonly string[]): string[] {
  return [
    ...found
      .filter((line) => !expected.includes(line) && !expected.includes(`? ${line}`))
      .map((line) => `skipped, but not in the list: ${line}`),
    ...expected
      .filter((line) => !line.startsWith('? ') && !found.includes(line))
      .map((line) => `in the list, but not skipped: ${line}`),
  ];
}
