import { createHash } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import {
  access,
  chmod,
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import { run } from './child.ts';
import type { Log } from './log.ts';

/** One of containerd's rootfs mounts. */
export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** A file system for the guest to mount, as a file or device of the host. */
export interface RootfsDisk {
  readonly path: string;
  readonly fsType: string;
  readonly options: readonly string[];
  readonly readOnly: boolean;
  /** Undefined: it is written in place, or not at all. */
  readonly scratch: ScratchDisk | undefined;
}

/** Where a container's writes go. */
export interface ScratchDisk {
  /** What it starts with: a copy of a host directory, or nothing. */
  readonly copyOf: string | undefined;
  /** Its places in a directory that goes with the snapshot; undefined: the snapshotter has none. */
  readonly inSnapshot:
    | {
        /** Beside the snapshot's files: no part of them. */
        readonly beside: string;
        /** Among them: containerd counts it as the snapshot's use of the disk. */
        readonly among: string;
      }
    | undefined;
}

/** Name of a scratch disk among a snapshot's files, of which it is not one. */
const scratchName = '.runv-scratch';

/** Bumped when the same layers would convert to different bytes. */
const imageFormat = 1;

const deviceFileSystems = new Set(['ext4', 'ext3', 'ext2', 'xfs', 'erofs', 'squashfs', 'btrfs']);

/** Turns containerd's root file systems into disks, and keeps converted images. */
export class Storage {
  readonly #imageDir: string;
  readonly #scratchMiB: number;
  readonly #log: Log;

  /** @param dataDir see the configuration's `data_dir` */
  constructor(dataDir: string, scratchMiB: number, log: Log) {
    this.#imageDir = join(dataDir, 'images');
    this.#scratchMiB = scratchMiB;
    this.#log = log;
  }

  /**
   * Finds or makes the disk for a container's root file system.
   * @param workDir of this sandbox, on the same file system as the cache; removed with the sandbox
   * @throws RunvError InvalidArgument for mounts no snapshotter of containerd's makes
   */
  async rootfs(
    mounts: readonly RootfsMount[],
    workDir: string,
    signal: AbortSignal,
  ): Promise<RootfsDisk> {
    const [mount, ...rest] = mounts;
    if (!mount || rest.length > 0) {
      throw new RunvError(
        Code.InvalidArgument,
        `the root file system must be one mount of a snapshotter's, not ${mounts.length}`,
      );
    }
    if (mount.type === 'overlay') {
      const lower = option(mount, 'lowerdir');
      if (lower === undefined) {
        throw new RunvError(Code.InvalidArgument, 'the overlay root has no lowerdir option');
      }
      const upper = option(mount, 'upperdir');
      const scratch = upper === undefined ? undefined : scratchOf(upper, await readdir(upper));
      return this.#layered(lower.split(':'), scratch, workDir, signal);
    }
    if (mount.type === 'bind') {
      // The active snapshot of an image without layers, or a read-only view.
      const scratch = mount.options.includes('ro') ? undefined : scratchOf(mount.source, []);
      return this.#layered([mount.source], scratch, workDir, signal);
    }
    if (!deviceFileSystems.has(mount.type)) {
      throw new RunvError(
        Code.InvalidArgument,
        `cannot use a root file system of type ${mount.type}: expected overlay, bind or a disk's`,
      );
    }
    await accessible(mount.source);
    return {
      path: mount.source,
      fsType: mount.type,
      options: mount.options.filter((o) => o !== 'loop' && o !== 'rw' && o !== 'ro'),
      readOnly: mount.options.includes('ro'),
      scratch: undefined,
    };
  }

  /**
   * Makes a sparse ext4 disk for a container's writes, unless it is there.
   * @param copyOf see `ScratchDisk`
   * @param stage is made and removed again
   * @param isKept whether it outlives its VM
   */
  async scratch(
    path: string,
    copyOf: string | undefined,
    stage: string,
    isKept: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    if (existsSync(path)) return;
    if (copyOf === undefined) return this.#makeDisk(path, undefined, isKept, signal);
    try {
      await mkdir(join(stage, 'work'), { recursive: true });
      await run('cp', ['-a', copyOf, join(stage, 'upper')], signal);
      await this.#makeDisk(path, stage, isKept, signal);
    } finally {
      await rm(stage, { recursive: true, force: true });
    }
  }

  /**
   * Makes a sparse ext4 disk that outlives its VM, unless it is there, with a directory `data` of
   * the mode and owner of `like`.
   * @param stage is made and removed again
   */
  async volume(path: string, like: string, stage: string, signal: AbortSignal): Promise<void> {
    if (existsSync(path)) return;
    const { mode, uid, gid } = await stat(like);
    const data = join(stage, 'data');
    try {
      await mkdir(data, { recursive: true });
      await chown(data, uid, gid);
      await chmod(data, mode & 0o7777);
      await this.#makeDisk(path, stage, true, signal);
    } finally {
      await rm(stage, { recursive: true, force: true });
    }
  }

  /** @param tree a directory whose content the disk gets; undefined: an empty one */
  async #makeDisk(
    path: string,
    tree: string | undefined,
    isKept: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const unfinished = `${path}.new`;
    try {
      const file = await open(unfinished, 'w', 0o600);
      try {
        await file.truncate(this.#scratchMiB * 1024 * 1024);
      } finally {
        await file.close();
      }
      // A disk that ends with its VM, a crash included, needs no journal.
      const journal = isKept ? ['-J', 'size=4'] : ['-O', '^has_journal'];
      const sparse = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard';
      const features = ['-O', '^resize_inode', '-E', sparse, ...journal];
      const content = tree === undefined ? [] : ['-d', tree];
      await run('mkfs.ext4', ['-q', '-F', '-m', '0', ...features, ...content, unfinished], signal);
      await rename(unfinished, path);
    } finally {
      await rm(unfinished, { force: true });
    }
  }

  async #layered(
    layers: readonly string[],
    scratch: ScratchDisk | undefined,
    workDir: string,
    signal: AbortSignal,
  ): Promise<RootfsDisk> {
    const path = await this.#convert(layers, workDir, signal);
    return { path, fsType: 'erofs', options: [], readOnly: true, scratch };
  }

  /** Converts layers, topmost first, to one erofs image, unless the cache has it. */
  async #convert(layers: readonly string[], workDir: string, signal: AbortSignal): Promise<string> {
    const key = await layersKey(layers);
    const image = join(this.#imageDir, `${key}.erofs`);
    if (existsSync(image)) return image;
    const startedMs = performance.now();
    await mkdir(this.#imageDir, { recursive: true, mode: 0o700 });
    const work = join(workDir, `convert-${key}`);
    await mkdir(join(work, 'merged'), { recursive: true });
    await writeFile(join(work, 'layers'), JSON.stringify(layers));
    // Its top layer's directory is the lock: no file of ours that could stay behind. The kernel
    // drops the lock with its holder; whoever waited finds the image made.
    const [top = ''] = layers;
    const script = `set -e
      [ ! -e "$1" ] || exit 0
      if [ -n "$3" ]; then mount -t overlay -o "ro,$3" overlay "$2/merged"; else mount --bind "$4" "$2/merged"; fi
      mkfs.erofs --quiet "$2/image" "$2/merged" >/dev/null
      umount "$2/merged"
      mv "$2/layers" "\${1%.erofs}.layers"
      mv "$2/image" "$1"`;
    const overlay = layers.length > 1 ? `lowerdir=${layers.join(':')}` : '';
    try {
      await run(
        'unshare',
        [
          ...['--mount', '--propagation', 'private', 'flock', '--no-fork', top],
          ...['sh', '-c', script, 'convert', image, work, overlay, top],
        ],
        signal,
      );
    } catch (e) {
      throw new RunvError(
        Code.Internal,
        `cannot convert the image's layers: ${String((e as Error).message)}`,
        {
          cause: e,
        },
      );
    }
    await rm(work, { recursive: true, force: true });
    this.#log.info({ image, elapsedMs: performance.now() - startedMs }, 'image converted');
    await this.#prune(image);
    return image;
  }

  /** Removes images of which a layer is gone: their snapshots were removed. */
  async #prune(keep: string): Promise<void> {
    for (const name of await readdir(this.#imageDir)) {
      if (!name.endsWith('.layers')) continue;
      const image = join(this.#imageDir, name.replace(/\.layers$/, '.erofs'));
      const layers = JSON.parse(await readFile(join(this.#imageDir, name), 'utf8')) as string[];
      if (image === keep || layers.every((layer) => existsSync(layer))) continue;
      // A VM that uses it keeps the open file.
      await rm(image, { force: true });
      await rm(join(this.#imageDir, name), { force: true });
      this.#log.info({ image }, 'image removed: its layers are gone');
    }
  }
}

function option(mount: RootfsMount, name: string): string | undefined {
  return mount.options.find((o) => o.startsWith(`${name}=`))?.slice(name.length + 1);
}

/**
 * The scratch disk over the snapshot whose files, named `names`, are in `upper`. containerd's
 * snapshotters of overlays keep these in a directory of the snapshot's own, beside a `work`, and
 * remove that directory with the snapshot.
 */
function scratchOf(upper: string, names: readonly string[]): ScratchDisk {
  const snapshot = dirname(upper);
  const isOwn = basename(upper) === 'fs' && existsSync(join(snapshot, 'work'));
  const beside = join(snapshot, 'runv-scratch');
  return {
    copyOf: names.some((name) => !name.startsWith(scratchName)) ? upper : undefined,
    inSnapshot: isOwn ? { beside, among: join(upper, scratchName) } : undefined,
  };
}

/**
 * What the layers hold, without reading them: a committed snapshot's directory never changes, and
 * one that takes its place has another inode, birth or change time.
 */
async function layersKey(layers: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(`format ${imageFormat}\n`);
  for (const layer of layers) {
    const s = await stat(layer, { bigint: true }).catch((e: unknown) => {
      throw new RunvError(Code.NotFound, `image layer is missing: ${(e as Error).message}`);
    });
    hash.update([layer, s.dev, s.ino, s.birthtimeNs, s.mtimeNs].join('\0') + '\n');
  }
  return hash.digest('hex').slice(0, 32);
}

async function accessible(path: string): Promise<void> {
  await access(path, constants.R_OK).catch((e: unknown) => {
    throw new RunvError(Code.NotFound, `cannot read the root disk: ${(e as Error).message}`);
  });
}
