import { dirname } from 'node:path';
import { toStatus } from '../proto/error.ts';
import { serve } from './daemon.ts';
import { probe } from './probe.ts';

/** Where the shim is installed: beside its Node, kernel and image. */
const libDir = dirname(process.argv[1] ?? '.');

/**
 * What runs virtual machines: `serve`, the daemon that `start` leaves behind, and `probe`, which
 * tells as JSON whether a guest runs on KVM. Both in a mount namespace of their own.
 */
async function main([action]: readonly string[]): Promise<void> {
  if (action === 'serve') return serve(libDir);
  if (action !== 'probe') throw new Error('the shim starts this program: serve or probe');
  process.stdout.write(JSON.stringify(await probe(libDir)));
}

main(process.argv.slice(2)).catch((e: unknown) => {
  process.stderr.write(`runv: ${toStatus(e).message.replaceAll('\n', ' ')}\n`);
  process.exit(1);
});
