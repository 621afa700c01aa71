import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config.ts';
import type { VmSpec } from './hypervisor/hypervisor.ts';
import type { QemuOptions } from './hypervisor/qemu.ts';
import { hostTscKHz } from './hypervisor/tsc.ts';
import type { SandboxPaths } from './journal.ts';
import { vmmUid } from './vmm-uid.ts';

/** The root of the VMM's view of the file system; the 9p export is `share` below it. */
export function jailDir(paths: SandboxPaths): string {
  return join(paths.stateDir, 'jail');
}

/** What configuration and host say about a sandbox's machine. */
export function machineOptions(
  config: Config,
  paths: SandboxPaths,
  size: VmSpec,
): Omit<QemuOptions, 'accelerator' | 'name' | 'network'> {
  return {
    ...size,
    qemu: config.qemu,
    kernel: config.kernel,
    image: config.image,
    vsock: config.vsock === 'auto' ? hostVsock() : config.vsock,
    vhostDeviceVsock: config.vhostDeviceVsock,
    extraKernelArgs: config.kernelArgs,
    tscKHz: hostTscKHz(),
    jailDir: jailDir(paths),
    uid: vmmUid(paths.stateDir),
    socketDir: paths.socketDir,
    env: process.env,
  };
}

function hostVsock(): 'vhost' | 'vhost-user' {
  return existsSync('/dev/vhost-vsock') ? 'vhost' : 'vhost-user';
}
