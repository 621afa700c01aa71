import { readFile } from 'node:fs/promises';
import { Code, RunvError } from '../../proto/error.ts';
import { loadConfig } from '../config.ts';
import { addDirectVolume, removeDirectVolume } from '../direct-volume.ts';

/**
 * `runv volume`: leaves or takes back the record of a volume whose disk goes into the guest.
 * @returns the exit status; undefined for a wrong call
 * @throws RunvError that says what is wrong with the volume
 */
export async function volume(
  words: readonly string[],
  libDir: string,
): Promise<number | undefined> {
  const [action, path, record, ...rest] = words;
  if (path === undefined || rest.length > 0) return undefined;
  const { directVolumesDir } = loadConfig(process.env, libDir);
  if (action === 'add' && record !== undefined) {
    const text = record.trimStart().startsWith('{') ? record : await readRecordFile(record);
    await addDirectVolume(directVolumesDir, path, text);
    return 0;
  }
  if (action !== 'remove' || record !== undefined) return undefined;
  await removeDirectVolume(directVolumesDir, path);
  return 0;
}

async function readRecordFile(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((e: unknown) => {
    const why = (e as Error).message;
    throw new RunvError(Code.NotFound, `a record is JSON or a file with it: ${why}`);
  });
}
