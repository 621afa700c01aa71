import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { agent as proto } from '../proto/messages.ts';
import type { Undo } from '../proto/undo.ts';
import type { Resources } from './resources.ts';
import type { RootfsMount, Storage } from './storage.ts';

/** What root file systems are made of. */
export interface RootfsParts {
  readonly storage: Storage;
  readonly resources: Resources;
  /** Of the sandbox: removed with it. */
  readonly workDir: string;
  /** Resolves when disks can be plugged in. */
  readonly launched: () => Promise<void>;
}

/** Gives containers their root file systems: disks for the guest, made of containerd's mounts. */
export class RootFileSystems {
  readonly #parts: RootfsParts;

  constructor(parts: RootfsParts) {
    this.#parts = parts;
  }

  /**
   * Converts and formats while the guest boots, then plugs in.
   * @param startsOnce whether the snapshot is that of a single task, as a pod's container's is:
   *   what it writes ends with it
   * @throws RunvError InvalidArgument for mounts no snapshotter of containerd's makes
   */
  async prepare(
    id: string,
    mounts: readonly RootfsMount[],
    startsOnce: boolean,
    undo: Undo,
    signal: AbortSignal,
  ): Promise<proto.IRootfs> {
    const { storage, resources, workDir, launched } = this.#parts;
    const root = await storage.rootfs(mounts, workDir, signal);
    const { scratch, readOnly } = root;
    const place = scratch?.inSnapshot;
    const path = (startsOnce ? place?.among : place?.beside) ?? join(workDir, `${id}.scratch`);
    const isKept = !startsOnce && place !== undefined;
    if (scratch) {
      if (!isKept) {
        await rm(path, { force: true });
        undo.add('remove scratch disk', () => rm(path, { force: true }));
      }
      const stage = join(workDir, `${id}.stage`);
      await storage.scratch(path, scratch.copyOf, stage, isKept, signal);
    }
    await launched();
    const disk = await resources.disk(root.path, { readOnly, discard: false }, undo, signal);
    const writes = { readOnly: false, discard: true };
    return {
      disk,
      fsType: root.fsType,
      options: [...root.options],
      scratch: scratch && (await resources.disk(path, writes, undo, signal)),
      scratchKept: isKept,
    };
  }
}
