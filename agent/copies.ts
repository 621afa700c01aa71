import {
  chmodSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import type { agent } from '../proto/messages.ts';

/** What kubelet's atomic writer calls the link to the present files (kubernetes, pkg/volume/util). */
const data = '..data';
const newData = '..data_tmp';

/** inode(7) */
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

const copyName = /^[A-Za-z0-9][A-Za-z0-9.-]*$/;

/**
 * Copies of directories that kubelet writes. Over 9p the guest's kernel would hear of no change: a
 * program that waits for one by inotify would wait for ever. A copy is changed by the guest itself,
 * in the same steps as the original. On a tmpfs, so synchronously: nothing here waits for a disk.
 */
export class Copies {
  readonly #dir: string;
  readonly #names = new Set<string>();

  /** @param dir on a tmpfs of the guest's own */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** @throws RunvError NotFound without such a copy */
  path(name: string): string {
    if (this.#names.has(name)) return join(this.#dir, name);
    throw new RunvError(Code.NotFound, `there is no copy ${JSON.stringify(name)}`);
  }

  /**
   * Makes a copy, or brings it up to date.
   * @throws RunvError InvalidArgument for what would lead out of it
   */
  sync({ name, version, root, files, links }: agent.SyncCopyRequest): void {
    if (!copyName.test(name)) throw wrong(`"${name}" is no name of a copy`);
    assertPlain(version);
    for (const link of Object.keys(links)) assertPlain(link);
    for (const { path } of files) if (path !== '') path.split('/').forEach(assertPlain);
    const target = join(this.#dir, name);
    mkdirSync(target, { recursive: true });
    this.#names.add(name);
    if (root) setAttributes(target, root);
    if (readLink(join(target, data)) === version) return;
    // of an attempt that failed, or of a clock that was set back
    rmSync(join(target, version), { recursive: true, force: true });
    for (const file of files) write(join(target, version, file.path), file);
    rmSync(join(target, newData), { force: true });
    symlinkSync(version, join(target, newData));
    renameSync(join(target, newData), join(target, data));
    for (const [link, to] of Object.entries(links)) {
      const path = join(target, link);
      const present = readLink(path);
      if (present === to) continue;
      rmSync(path, { recursive: true, force: true });
      symlinkSync(to, path);
    }
    for (const present of readdirSync(target)) {
      if (present === data || present === version || Object.hasOwn(links, present)) continue;
      rmSync(join(target, present), { recursive: true, force: true });
    }
  }
}

function write(path: string, file: agent.CopiedFile): void {
  switch (file.mode & S_IFMT) {
    case S_IFDIR:
      mkdirSync(path);
      break;
    case S_IFLNK:
      symlinkSync(Buffer.from(file.data), path);
      return;
    default:
      writeFileSync(path, file.data);
  }
  setAttributes(path, file);
}

function setAttributes(path: string, { mode, uid, gid }: agent.CopiedFile): void {
  // in this order: a change of owner takes set-id bits away
  lchownSync(path, uid, gid);
  chmodSync(path, mode & 0o7777);
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function assertPlain(name: string): void {
  if (name === '' || name === '.' || name === '..' || name.includes('/')) {
    throw wrong(`"${name}" is no plain name of a file`);
  }
}

const wrong = (message: string) => new RunvError(Code.InvalidArgument, message);
