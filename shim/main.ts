import { dirname } from 'node:path';
import { toStatus } from '../proto/error.ts';
import { parseArgs } from './shim-args.ts';
import { readVersion } from './version.ts';

/** Where the shim is installed: beside its Node, kernel and image. */
const libDir = dirname(process.argv[1] ?? '.');

/**
 * `containerd-shim-runv-v2`: containerd calls `start` and `delete`; launcher and supervisor call
 * `clean`. Loads little, as containerd waits for it: the daemon is a bundle of its own. Only the address or the answer goes to stdout; an
 * error is one line on stderr, which containerd shows to its caller.
 */
async function main(): Promise<void> {
  const args = parseArgs(process.argv.slice(2));
  switch (args.action) {
    case 'start': {
      const { start } = await import('./bootstrap.ts');
      const started = await start(args, libDir);
      process.stdout.write(started.reply, () => started.commit());
      return;
    }
    case 'delete': {
      const { deleteSandbox } = await import('./delete.ts');
      process.stdout.write(await deleteSandbox(args.id));
      return;
    }
    case 'clean': {
      const { cleanAfterDeath } = await import('./delete.ts');
      return cleanAfterDeath();
    }
    case 'version': {
      process.stdout.write(`containerd-shim-runv-v2 ${readVersion(libDir)}\n`);
    }
  }
}

main().then(
  () => undefined,
  (e: unknown) => {
    process.stderr.write(`runv: ${toStatus(e).message.replaceAll('\n', ' ')}\n`);
    process.exitCode = 1;
  },
);
