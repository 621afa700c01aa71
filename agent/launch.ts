import { closeSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { agent } from '../proto/messages.ts';
import { acceptDescriptor, listenForDescriptor } from '../proto/sys.ts';
import type { Undo } from '../proto/undo.ts';
import { hasCharDevice } from './disks.ts';
import type { Environment } from './environment.ts';
import { type DeviceNumbers, guestSpec, hasOwnNamespace, sharesPids } from './guest-spec.ts';
import { settleAll } from './mounts.ts';
import type { Launch } from './runc.ts';
import type { ProcessIo } from './stdio.ts';

/** The cgroup that holds all containers. */
export const podCgroup = '/runv';

/** runc's cgroupsPath of a container. */
export const cgroupOf = (id: string): string => `${podCgroup}/${id}`;

/**
 * Makes a container's bundle in `dir`: mounts what it stands on, writes the guest's specification.
 * @param pidsOf the first process of a container of this guest
 * @returns whether the container has a pid namespace of its own
 */
export async function prepareBundle(
  request: agent.CreateContainerRequest,
  dir: string,
  env: Environment,
  undo: Undo,
  pidsOf: (containerId: string) => number,
): Promise<boolean> {
  const { sysfs } = env.paths;
  const volumeSources = new Map<number, string>();
  const deviceNumbers = new Map<number, DeviceNumbers>();
  let rootPath = '';
  let sharedPids: string | undefined;
  await settleAll([
    (async () => {
      if (!sharesPids(request.spec)) return;
      const { pidNamespaceOf: id } = request;
      sharedPids = id === '' ? await env.pod.pidNamespace() : `/proc/${pidsOf(id)}/ns/pid`;
    })(),
    env.mounts.root(request.rootfs, dir, undo).then((path) => (rootPath = path)),
    ...request.volumes.map(async (volume) => {
      volumeSources.set(volume.mountIndex, await env.mounts.volume(volume, undo));
    }),
    ...request.blockDevices.map(async ({ deviceIndex, disk }) => {
      const { major, minor } = await env.mounts.device(disk, undo);
      deviceNumbers.set(deviceIndex, { major, minor });
    }),
  ]);
  const spec = guestSpec(request.spec, {
    rootPath,
    cgroupsPath: cgroupOf(request.containerId),
    terminal: request.stdio?.terminal ?? false,
    volumeSources,
    deviceNumbers,
    hasCharDevice: (numbers) => hasCharDevice(sysfs, numbers),
    sharedPids,
    sysfs,
  });
  writeFileSync(join(dir, 'config.json'), JSON.stringify(spec));
  return hasOwnNamespace(spec, 'pid');
}

let consoles = 0;

/**
 * Runs runc for a process that uses `io`, and connects its terminal if it has one.
 * @param tempDir for runc's console socket, whose path must be short
 * @param run calls runc, returns the process's pid
 */
export async function launch(
  io: ProcessIo,
  tempDir: string,
  run: (how: Launch) => Promise<number>,
): Promise<number> {
  if (io.terminal) return launchOnTerminal(io, join(tempDir, `console-${++consoles}`), run);
  const pid = await run({ stdio: io.child, consoleSocket: undefined });
  io.begin();
  return pid;
}

async function launchOnTerminal(
  io: ProcessIo,
  consoleSocket: string,
  run: (how: Launch) => Promise<number>,
): Promise<number> {
  const listener = listenForDescriptor(consoleSocket);
  try {
    const pid = await run({ stdio: io.child, consoleSocket });
    // runc has sent it before it ended: it waits in the socket
    io.beginOnTerminal(acceptDescriptor(listener));
    return pid;
  } finally {
    closeSync(listener);
    rmSync(consoleSocket, { force: true });
  }
}
