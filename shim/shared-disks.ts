import { closeSync, constants, openSync, statSync } from 'node:fs';
import { Code, RunvError } from '../proto/error.ts';
import type { agent as proto } from '../proto/messages.ts';
import { Shared } from '../proto/shared.ts';
import type { Undo } from '../proto/undo.ts';
import type { Resources } from './resources.ts';

/** How containers use a disk. */
export interface DiskUse {
  readonly readOnly: boolean;
  /** It holds a file system that the guest mounts, which nobody else may have mounted then. */
  readonly mounted: boolean;
}

/**
 * Disks that containers of one sandbox use together: each is plugged in once, since two disks of
 * the guest with the same content would be two caches that know nothing of each other.
 */
export class SharedDisks {
  readonly #resources: Resources;
  readonly #plugged: Shared<proto.IDisk>;
  readonly #claimed: Shared<void>;

  constructor(resources: Resources, newUndo: () => Undo) {
    this.#resources = resources;
    this.#plugged = new Shared(newUndo);
    this.#claimed = new Shared(newUndo);
  }

  /**
   * Plugs a file or device in, unless another container has.
   * @throws RunvError FailedPrecondition when it is mounted on the host or by another sandbox
   */
  async use(path: string, use: DiskUse, undo: Undo, signal: AbortSignal): Promise<proto.IDisk> {
    const { dev, ino, rdev, isDevice } = identify(path);
    const which = isDevice ? `device ${rdev}` : `file ${dev}:${ino}`;
    const key = `${which}${use.readOnly ? ', read-only' : ''}`;
    const { readOnly, mounted } = use;
    if (mounted && isDevice) {
      await this.#claimed.use(key, async (own) => claim(path, readOnly, own), undo);
    }
    const plug = (own: Undo): Promise<proto.IDisk> =>
      this.#resources.disk(path, { readOnly, discard: false }, own, signal);
    return this.#plugged.use(key, plug, undo);
  }
}

function identify(path: string) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new RunvError(Code.NotFound, `there is no ${path}`);
  const { dev, ino, rdev } = stats;
  return { dev, ino, rdev, isDevice: stats.isBlockDevice() };
}

/**
 * Makes sure that nobody has mounted a device, and that nobody can as long as the guest writes to
 * it: two kernels that write to one file system destroy it.
 */
function claim(path: string, readOnly: boolean, undo: Undo): void {
  let fd: number;
  try {
    // open(2), O_EXCL: with a block device, EBUSY when it is mounted or claimed in the same way
    fd = openSync(path, constants.O_RDONLY | constants.O_EXCL);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EBUSY') throw e;
    throw new RunvError(
      Code.FailedPrecondition,
      `${path} is mounted on the host or in use by another sandbox`,
    );
  }
  // several sandboxes may read the same one
  if (readOnly) closeSync(fd);
  else undo.add(`let go of ${path}`, () => closeSync(fd));
}
