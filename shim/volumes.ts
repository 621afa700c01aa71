import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import type { agent as proto } from '../proto/messages.ts';
import { sparseDiskOptions } from '../proto/sparse-disk.ts';
import type { Undo } from '../proto/undo.ts';
import type { ContainerPlan, VolumePlan } from './container-plan.ts';
import { type DirectSource, findDirectVolume } from './direct-volume.ts';
import { readKubeletFiles } from './kubelet-files.ts';
import { pathsOfPart, scratchFile, sourceKind } from './kubelet-volume.ts';
import type { Log } from './log.ts';
import {
  assertDiskSource,
  hostBlockDevice,
  isReadOnlyDevice,
  type Resources,
} from './resources.ts';
import { SharedDisks } from './shared-disks.ts';
import type { Storage } from './storage.ts';

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

/** What volumes are made of. */
export interface VolumesParts {
  readonly resources: Resources;
  readonly storage: Storage;
  /** Of the sandbox. */
  readonly workDir: string;
  /** See the configuration. */
  readonly directVolumesDir: string;
  /** Makes the agent make a copy, or bring it up to date. */
  readonly sync: (request: proto.ISyncCopyRequest) => Promise<unknown>;
  readonly newUndo: () => Undo;
  readonly log: Log;
}

/** Gives containers their volumes, and keeps copies of kubelet's files up to date. */
export class Volumes {
  readonly #resources: Resources;
  readonly #storage: Storage;
  readonly #workDir: string;
  readonly #directVolumesDir: string;
  readonly #disks: SharedDisks;
  readonly #newUndo: () => Undo;
  readonly #sync: (request: proto.ISyncCopyRequest) => Promise<unknown>;
  readonly #log: Log;
  /** Names of the copies, by their source, as long as the sandbox lives. */
  readonly #copied = new Map<string, Promise<string | undefined>>();
  readonly #scratch = new Map<string, Promise<proto.IDisk>>();
  readonly #watchers: FSWatcher[] = [];
  #closed = false;

  constructor({ resources, storage, workDir, directVolumesDir, sync, newUndo, log }: VolumesParts) {
    this.#resources = resources;
    this.#storage = storage;
    this.#workDir = workDir;
    this.#directVolumesDir = directVolumesDir;
    this.#disks = new SharedDisks(resources, newUndo);
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
      const use = { readOnly: readOnly || host.readOnly, mounted: false };
      const disk = await this.#disks.use(host.path, use, undo, signal);
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
    const disk = await this.#disks.use(source, { readOnly, mounted: true }, undo, signal);
    return { disk: { disk, fsType, options: [...options] } };
  }

  /** The record of the volume that a bind mount's source is, or is a part of. */
  async #direct(source: string): Promise<DirectSource | undefined> {
    for (const path of [source, ...pathsOfPart(source)]) {
      const found = await findDirectVolume(this.#directVolumesDir, path);
      if (found) return found;
    }
    return undefined;
  }

  /** Writable for all containers or for none: which of them may write is their mounts' business. */
  async #directDisk(
    { volume, subPath }: DirectSource,
    undo: Undo,
    signal: AbortSignal,
  ): Promise<proto.IVolume> {
    const { device, fsType, options, fsGroup } = volume;
    const readOnly = volume.readOnly || isReadOnlyDevice(device);
    const disk = await this.#disks.use(device, { readOnly, mounted: true }, undo, signal);
    return { disk: { disk, fsType, options: [...options], fsGroup }, subPath };
  }

  async #shared(
    volume: Extract<VolumePlan, { kind: 'share' }>,
    destination: string,
    shareName: string,
    undo: Undo,
    signal: AbortSignal,
  ): Promise<proto.IVolume> {
    const { source } = volume;
    const direct = await this.#direct(source);
    if (direct) return this.#directDisk(direct, undo, signal);
    const share = async () => ({
      sharePath: await this.#resources.share(source, shareName, volume, undo, signal),
    });
    const kind = await sourceKind(source, destination).catch((e: unknown) => {
      throw new RunvError(Code.NotFound, `bind mount: ${(e as Error).message}`);
    });
    switch (kind.kind) {
      case 'memory': {
        const { subPath, sizeBytes, mode, uid, gid } = kind;
        return { memory: { name: kind.name, sizeBytes, mode, uid, gid }, subPath };
      }
      case 'scratch': {
        const disk = await this.#scratchDisk(kind.dir, signal);
        const subPath = kind.subPath === '' ? 'data' : `data/${kind.subPath}`;
        return { disk: { disk, fsType: 'ext4', options: [...sparseDiskOptions] }, subPath };
      }
      case 'config': {
        const name = await this.#copy(source);
        if (name !== undefined) return { copy: { name } };
        this.#log.warn({ source }, 'volume too large to be copied: it has no inotify events');
        return share();
      }
      case 'path':
        return share();
    }
  }

  /** An emptyDir's disk, plugged in as long as the sandbox lives. */
  #scratchDisk(dir: string, signal: AbortSignal): Promise<proto.IDisk> {
    let plugged = this.#scratch.get(dir);
    if (!plugged) {
      plugged = this.#makeScratch(dir, signal);
      this.#scratch.set(dir, plugged);
      plugged.catch(() => this.#scratch.delete(dir));
    }
    return plugged;
  }

  async #makeScratch(dir: string, signal: AbortSignal): Promise<proto.IDisk> {
    const path = join(dir, scratchFile);
    const stage = join(this.#workDir, `volume-${this.#scratch.size}`);
    await this.#storage.volume(path, dir, stage, signal);
    await using undo = this.#newUndo();
    const use = { readOnly: false, discard: true };
    const disk = await this.#resources.disk(path, use, undo, signal);
    undo.move();
    return disk;
  }

  /**
   * Copies a directory of kubelet's into the guest, once, and watches it.
   * @returns the copy's name; undefined when it is too large for one
   */
  async #copy(source: string): Promise<string | undefined> {
    let copied = this.#copied.get(source);
    if (!copied) {
      const name = `config-${this.#copied.size}`;
      // before it is read: nothing is missed
      this.#watch(source, name);
      copied = this.#send(source, name);
      this.#copied.set(source, copied);
      copied.catch(() => this.#copied.delete(source));
    }
    return copied;
  }

  async #send(source: string, name: string): Promise<string | undefined> {
    const files = await readKubeletFiles(source);
    if (!files) return undefined;
    await this.#sync({ name, ...files });
    return name;
  }

  #watch(source: string, name: string): void {
    let timer: NodeJS.Timeout | undefined;
    let last: Promise<unknown> = Promise.resolve();
    const update = (triesLeft: number): void => {
      // one after the other: an older version must not overtake a newer one
      last = last.then(async () => {
        try {
          await this.#copied.get(source);
          if (!this.#closed) await this.#send(source, name);
        } catch (err) {
          if (this.#closed) return;
          this.#log.warn({ err, source }, 'update of a volume not passed on');
          if (triesLeft > 0) later(retryMs, triesLeft - 1);
        }
      });
    };
    const later = (ms: number, triesLeft: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => update(triesLeft), ms).unref();
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
