import { dirname } from 'node:path';
import { toStatus } from '../../proto/error.ts';
import { readVersion } from '../version.ts';

const usage = `usage: runv check                       tells whether this host can run containers, and what it lacks
       runv volume add PATH JSON|FILE   a volume of which the guest gets the disk: {"volume-type":"block",
                                        "device":"/dev/sdx","fstype":"ext4","options":["noatime"]}
       runv volume remove PATH
       runv --version
`;

/** `runv`: the command for people. Exits 0 when all is well, 1 when not, 2 for a wrong call. */
async function main(words: readonly string[], libDir: string): Promise<number> {
  const [command, ...rest] = words;
  if (command === 'check' && rest.length === 0) {
    const { check } = await import('./check.ts');
    return check(libDir, (line) => process.stdout.write(`${line}\n`));
  }
  if (command === 'volume') {
    const { volume } = await import('./volume.ts');
    const status = await volume(rest, libDir);
    if (status !== undefined) return status;
  }
  if ((command === '--version' || command === '-v') && rest.length === 0) {
    process.stdout.write(`runv ${readVersion(libDir)}\n`);
    return 0;
  }
  (command === '--help' ? process.stdout : process.stderr).write(usage);
  return command === '--help' ? 0 : 2;
}

main(process.argv.slice(2), dirname(process.argv[1] ?? '.')).then(
  (code) => (process.exitCode = code),
  (e: unknown) => {
    process.stderr.write(`runv: ${toStatus(e).message}\n`);
    process.exitCode = 1;
  },
);
