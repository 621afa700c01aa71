import { constants } from 'node:fs';
import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './command.ts';

/** A file as a block device of the host. */
export class LoopDevice implements AsyncDisposable {
  readonly path: string;
  readonly file: string;

  private constructor(path: string, file: string) {
    this.path = path;
    this.file = file;
  }

  /** @param file is made, sparse, when `sizeBytes` is given */
  static async attach(
    file: string,
    options: { sizeBytes?: number; readOnly?: boolean } = {},
  ): Promise<LoopDevice> {
    if (options.sizeBytes !== undefined) {
      await writeFile(file, '');
      await truncate(file, options.sizeBytes);
    }
    const flags = options.readOnly === true ? ['--read-only'] : [];
    // losetup itself finds a free one and takes it, without a gap in which another test could
    const path = (await must('losetup', ['--find', '--show', ...flags, file])).trim();
    return new LoopDevice(path, file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await must('losetup', ['--detach', this.path]);
  }
}

/** Makes an ext4 file system in a file, with the content of a directory where one is given. */
export async function makeExt4(file: string, sizeBytes: number, from?: string): Promise<void> {
  await writeFile(file, '');
  await truncate(file, sizeBytes);
  const content = from === undefined ? [] : ['-d', from];
  await must('mke2fs', ['-q', '-F', '-t', 'ext4', ...content, file]);
}

/** Reads a file of an ext4 image without mounting it; what the journal holds is replayed first. */
export async function readFromExt4(file: string, path: string): Promise<string> {
  // 1: errors were corrected, which is what replaying a journal counts as
  await must('sh', ['-c', 'e2fsck -fp "$1" >&2 || [ $? = 1 ]', 'sh', file]);
  return await must('debugfs', ['-R', `cat ${path}`, file]);
}

/**
 * Has a disk mounted on the host while `use` runs. Sandboxes of other tests, which start meanwhile,
 * have a copy of the mount in a namespace of their own: it is shared, so that theirs goes with it.
 */
export async function whileMounted<T>(
  disk: LoopDevice,
  dir: string,
  use: () => Promise<T>,
): Promise<T> {
  const target = join(dir, 'disk');
  await mkdir(target, { recursive: true });
  await must('mount', ['--bind', dir, dir]);
  try {
    await must('mount', ['--make-shared', dir]);
    await must('mount', [disk.path, target]);
    try {
      return await use();
    } finally {
      await must('umount', [target]);
    }
  } finally {
    await must('umount', [dir]);
  }
}

/** Whether a disk is mounted, or held as one that is. */
export async function isClaimed(disk: LoopDevice): Promise<boolean> {
  try {
    // open(2): EBUSY for a block device that is in use
    const handle = await open(disk.path, constants.O_RDONLY | constants.O_EXCL);
    await handle.close();
    return false;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EBUSY') throw e;
    return true;
  }
}
