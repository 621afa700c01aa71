import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The release that is installed in `libDir`; the build writes it there. */
export function readVersion(libDir: string): string {
  const file = readFileSync(join(libDir, 'version.json'), 'utf8');
  return (JSON.parse(file) as { version: string }).version;
}
