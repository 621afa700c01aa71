import type { Stats } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';

/** What kubelet's atomic writer calls the link to the present files (kubernetes, pkg/volume/util). */
const data = '..data';
const newData = '..data_tmp';
/** The host may replace what is being read; so often in a row, it is something else. */
const maxTries = 5;

/**
 * Copies of directories that kubelet writes. The host's files come over 9p, which cannot tell the
 * guest's kernel of changes: a program that waits for one by inotify would wait for ever. A copy is
 * changed by the guest itself, in the same steps as the original.
 */
export class Copies {
  readonly #dir: string;
  readonly #copies = new Map<string, Copy>();

  /** @param dir on a file system of the guest's own */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Makes a copy, or finds it.
   * @returns its path
   */
  async make(sharePath: string, source: string): Promise<string> {
    let copy = this.#copies.get(sharePath);
    if (!copy) {
      copy = new Copy(source, join(this.#dir, String(this.#copies.size)));
      this.#copies.set(sharePath, copy);
    }
    await copy.sync();
    return copy.target;
  }

  /** @throws RunvError NotFound without such a copy */
  async sync(sharePath: string): Promise<void> {
    const copy = this.#copies.get(sharePath);
    if (!copy) throw new RunvError(Code.NotFound, `there is no copy of ${sharePath}`);
    await copy.sync();
  }
}

class Copy {
  readonly target: string;
  readonly #source: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(source: string, target: string) {
    this.#source = source;
    this.target = target;
  }

  /** One after the other: each ends with what was there when it began, or newer. */
  sync(): Promise<void> {
    const result = this.#last.then(() => this.#retry(maxTries));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #retry(triesLeft: number): Promise<void> {
    const version = await readlink(join(this.#source, data));
    try {
      await this.#update(version);
    } catch (e) {
      const now = await readlink(join(this.#source, data));
      if (now === version || triesLeft === 0) throw e;
      await this.#retry(triesLeft - 1);
    }
  }

  async #update(version: string): Promise<void> {
    const present = await readlink(join(this.target, data)).catch(() => undefined);
    if (present === version) return;
    if (version.includes('/')) {
      throw new RunvError(Code.InvalidArgument, `${data} leads out of its directory: ${version}`);
    }
    await mkdir(this.target, { recursive: true });
    await copyAttributes(await lstat(this.#source), this.target);
    // of an attempt that failed, or of a clock that was set back
    await rm(join(this.target, version), { recursive: true, force: true });
    await copyTree(join(this.#source, version), join(this.target, version));
    await rm(join(this.target, newData), { force: true });
    await symlink(version, join(this.target, newData));
    await rename(join(this.target, newData), join(this.target, data));
    const wanted = await readdir(this.#source);
    const have = await readdir(this.target);
    for (const name of wanted) {
      if (name.startsWith('..') || have.includes(name)) continue;
      await symlink(await readlink(join(this.#source, name)), join(this.target, name));
    }
    for (const name of have) {
      if (name === data || name === version) continue;
      if (!name.startsWith('..') && wanted.includes(name)) continue;
      await rm(join(this.target, name), { recursive: true, force: true });
    }
  }
}

/** Files, directories and links, with mode and owner. */
async function copyTree(from: string, to: string): Promise<void> {
  const stats = await lstat(from);
  if (stats.isDirectory()) {
    await mkdir(to);
    for (const name of await readdir(from)) await copyTree(join(from, name), join(to, name));
  } else if (stats.isSymbolicLink()) {
    await symlink(await readlink(from), to);
    return;
  } else {
    await copyFile(from, to);
  }
  await copyAttributes(stats, to);
}

async function copyAttributes({ mode, uid, gid }: Stats, to: string): Promise<void> {
  // in this order: a change of owner takes set-id bits away
  await chown(to, uid, gid);
  await chmod(to, mode & 0o7777);
}
