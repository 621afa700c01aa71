import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pauseProgram } from './pause-program.ts';
import type { Reaper } from './reaper.ts';
import type { Launch, Runc } from './runc.ts';

/** What a pod's containers share beyond the guest itself: network, ipc and uts are the guest's. */
export interface Pod {
  /** @returns path of the pid namespace of a pod that shares one */
  pidNamespace(): Promise<string>;
}

/** No container has it: containerd's ids begin with a letter or digit. */
const name = '_pause';

/**
 * A pid namespace ends with its first process, so one that outlives containers needs a process of
 * its own: it reaps what is orphaned to it, and does nothing else. Made when first asked for.
 */
export class SharedPids implements Pod {
  readonly #runc: Runc;
  readonly #reaper: Reaper;
  readonly #dir: string;
  #namespace: Promise<string> | undefined;

  /** @param dir for its root file system */
  constructor(runc: Runc, reaper: Reaper, dir: string) {
    this.#runc = runc;
    this.#reaper = reaper;
    this.#dir = join(dir, 'pause');
  }

  pidNamespace(): Promise<string> {
    this.#namespace ??= this.#start().catch((e: unknown) => {
      this.#namespace = undefined;
      throw e;
    });
    return this.#namespace;
  }

  async #start(): Promise<string> {
    const root = join(this.#dir, 'rootfs');
    for (const dir of ['dev', 'proc']) mkdirSync(join(root, dir), { recursive: true });
    const program = join(root, 'pause');
    writeFileSync(program, pauseProgram());
    chmodSync(program, 0o755);
    writeFileSync(join(this.#dir, 'config.json'), JSON.stringify(specification));
    const { signal } = new AbortController();
    const launch: Launch = { stdio: ['ignore', 'ignore', 'ignore'], consoleSocket: undefined };
    return await this.#reaper.expect(async () => {
      const pid = await this.#runc.create(name, this.#dir, launch, signal);
      await this.#runc.start(name, this.#reaper.claim(pid));
      return `/proc/${pid}/ns/pid`;
    });
  }
}

/** Nobody's rights, nothing but its program to see. */
const specification = {
  ociVersion: '1.0.2',
  process: {
    args: ['/pause'],
    cwd: '/',
    user: { uid: 65534, gid: 65534 },
    noNewPrivileges: true,
    capabilities: {},
  },
  root: { path: 'rootfs', readonly: true },
  // runc itself needs them while it sets the process up
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
  ],
  linux: {
    cgroupsPath: `/${name}`,
    namespaces: [{ type: 'pid' }, { type: 'mount' }],
  },
};
