import { type FSWatcher, watch } from 'node:fs';
import { Code, RunvError } from '../proto/error.ts';
import type { agent as proto } from '../proto/messages.ts';
import type { Undo } from '../proto/undo.ts';
import type { ContainerPlan, VolumePlan } from './container-plan.ts';
import { sourceKind } from './kubelet-volume.ts';
import type { Log } from './log.ts';
import { assertDiskSource, hostBlockDevice, type Resources } from './resources.ts';

/** Kubelet renames, then removes: one look at the end of it. */
const settleMs = 50;
/** A sync that failed is tried again, as the next change may be a day away. */
const retryMs = 1000;
const maxTries = 10;

/** What the guest is told of a container's volumes and devices. */
export interface PreparedVolumes {
  readonly volumes: readonly proto.IVolume[];
  readonly blockDevices: readonly proto.IBlockDevice[];
}

/** Gives containers their volumes, and keeps copies of kubelet's files up to date. */
export class Volumes {
  readonly #resources: Resources;
  readonly #newUndo: () => Undo;
  readonly #sync: (sharePath: string) => Promise<unknown>;
  readonly #log: Log;
  /** Directories that are copied, by their source: shared as long as the sandbox lives. */
  readonly #copied = new Map<string, Promise<string>>();
  readonly #watchers: FSWatcher[] = [];
  #closed = false;

  /** @param sync makes the agent bring a copy up to date; NotFound: it has none yet */
  constructor(
    resources: Resources,
    newUndo: () => Undo,
    sync: (sharePath: string) => Promise<unknown>,
    log: Log,
  ) {
    this.#resources = resources;
    this.#newUndo = newUndo;
    this.#sync = sync;
    this.#log = log;
  }

  /**
   * Plugs in and shares what a container's specification names.
   * @throws RunvError NotFound for a source that is not there
   */
  async prepare(
    id: string,
    plan: ContainerPlan,
    undo: Undo,
    signal: AbortSignal,
  ): Promise<PreparedVolumes> {
    const volumes: proto.IVolume[] = [];
    for (const [n, volume] of plan.volumes.entries()) {
      const destination = plan.spec.mounts?.[volume.index]?.destination ?? volume.source;
      const source =
        volume.kind === 'share'
          ? await this.#shared(volume, destination, `${id}/${n}`, undo, signal)
          : await this.#disk(volume, destination, undo, signal);
      volumes.push({ mountIndex: volume.index, ...source });
    }
    const blockDevices: proto.IBlockDevice[] = [];
    for (const { index, device, readOnly } of plan.blockDevices) {
      const host = hostBlockDevice(device);
      const use = { readOnly: readOnly || host.readOnly, discard: false };
      const disk = await this.#resources.disk(host.path, use, undo, signal);
      blockDevices.push({ deviceIndex: index, disk });
    }
    return { volumes, blockDevices };
  }

  /** Stops watching. */
  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.close();
  }

  async #disk(
    { source, readOnly, fsType, options }: Extract<VolumePlan, { kind: 'disk' }>,
    destination: string,
    undo: Undo,
    signal: AbortSignal,
  ): Promise<proto.IVolume> {
    assertDiskSource(source, destination);
    const disk = await this.#resources.disk(source, { readOnly, discard: false }, undo, signal);
    return { disk: { disk, fsType, options: [...options] } };
  }

  async #shared(
    { source, readOnly }: Extract<VolumePlan, { kind: 'share' }>,
    destination: string,
    name: string,
    undo: Undo,
    signal: AbortSignal,
  ): Promise<proto.IVolume> {
    const kind = await sourceKind(source, destination).catch((e: unknown) => {
      throw new RunvError(Code.NotFound, `bind mount: ${(e as Error).message}`);
    });
    switch (kind.kind) {
      case 'memory': {
        const { subPath, sizeBytes, mode, uid, gid } = kind;
        return { memory: { name: kind.name, sizeBytes, mode, uid, gid }, subPath };
      }
      case 'config':
        return { copy: { sharePath: await this.#copy(source, signal) } };
      case 'path':
        return { sharePath: await this.#resources.share(source, name, readOnly, undo, signal) };
    }
  }

  /** Shares a directory of kubelet's, read-only, and watches it. */
  #copy(source: string, signal: AbortSignal): Promise<string> {
    let copied = this.#copied.get(source);
    if (!copied) {
      // no container's id begins so
      const name = `_copied/${this.#copied.size}`;
      copied = this.#resources.share(source, name, true, this.#newUndo(), signal);
      this.#copied.set(source, copied);
      this.#watch(source, name);
      copied.catch(() => this.#copied.delete(source));
    }
    return copied;
  }

  #watch(source: string, sharePath: string): void {
    let timer: NodeJS.Timeout | undefined;
    const sync = (triesLeft: number): void => {
      if (this.#closed) return;
      this.#sync(sharePath).catch((e: unknown) => {
        // a copy that is made after the change has it
        if (this.#closed || (e instanceof RunvError && e.code === Code.NotFound)) return;
        this.#log.warn({ err: e, source }, 'update of a volume not passed on');
        if (triesLeft > 0) later(retryMs, triesLeft - 1);
      });
    };
    const later = (ms: number, triesLeft: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => sync(triesLeft), ms).unref();
    };
    try {
      const watcher = watch(source, { persistent: false }, () => later(settleMs, maxTries));
      watcher.on('error', (err) => this.#log.warn({ err, source }, 'volume not watched'));
      this.#watchers.push(watcher);
    } catch (err) {
      this.#log.warn({ err, source }, 'volume not watched');
    }
  }
}
