import { join } from 'node:path';
import { run, start, type Outcome, type Running } from './command.ts';
import type { PrivateContainerd } from './containerd.ts';
import { checkout } from './environment.ts';

/** A program that people type, or what this machine lacks to have it. */
export interface Client {
  readonly program: string;
  readonly lack: string | undefined;
}

/** Builds a client: see deploy/fetch-client.sh. */
export async function fetchClient(name: string): Promise<Client> {
  const fetched = await run(join(checkout, 'deploy/fetch-client.sh'), [name], {
    deadlineMs: 900_000,
  });
  if (fetched.code === 0) return { program: fetched.stdout.trim(), lack: undefined };
  return { program: '', lack: fetched.stderr.trim().split('\n').at(-1) ?? name };
}

/** Starts a command on a terminal of 33 lines with 91 columns, and can type there. */
export function onTerminal(words: readonly string[]): Running {
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const command = `stty rows 33 cols 91; exec ${quoted}`;
  return start('script', ['-qfec', command, '/dev/null'], { keepStdin: true });
}

/** Gets a page as a process on the containerd's machine does: in its network namespace. */
export async function fetchPage(containerd: PrivateContainerd, url: string): Promise<Outcome> {
  const [command = '', ...rest] = [...containerd.inItsNetwork(), 'busybox', 'wget', '-q'];
  return await run(command, [...rest, '-O', '-', url]);
}
