import { truncate, writeFile } from 'node:fs/promises';
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
