import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { type Config, leastMemoryMiB, loadConfig } from './config.ts';
import type { Hypervisor } from './hypervisor/hypervisor.ts';
import { removeJail } from './hypervisor/jail.ts';
import { Qemu } from './hypervisor/qemu.ts';
import { jailDir, machineOptions } from './machine.ts';

/** What a probe of KVM found. */
export interface Probe {
  readonly works: boolean;
  /** In one line: why it does not work, or that it does. */
  readonly finding: string;
}

/** A guest reaches the end of its boot in well under a second on KVM, in some seconds when nested. */
const probeTimeoutMs = 15_000;
/** What the kernel says once it has booted and finds no root, as the probe gives it none. */
const bootedWords = 'Unable to mount root fs';

/** Where the probe's guest has its sockets and its jail; one probe at a time. */
export function probeDir(config: Config): string {
  return join(config.runDir, 'probe');
}

/** `probe`: starts a guest without a root file system on KVM and sees whether it gets that far. */
export async function probe(libDir: string): Promise<Probe> {
  const config = loadConfig(process.env, libDir);
  const dir = probeDir(config);
  rmSync(dir, { recursive: true, force: true }); // left by a probe that was killed
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  const paths = { stateDir: dir, socketDir: dir, diskDir: dir };
  mkdirSync(jailDir(paths));
  const machine = machineOptions(config, paths, { vcpus: 1, memoryMiB: leastMemoryMiB });
  const vm = new Qemu(
    {
      ...machine,
      name: 'runv-probe',
      accelerator: 'kvm',
      network: () => [],
      extraKernelArgs: 'root=none',
    },
    pino({ level: 'silent' }),
  );
  try {
    return await judge(vm);
  } finally {
    await vm.stop();
    removeJail(jailDir(paths));
    rmSync(dir, { recursive: true });
  }
}

async function judge(vm: Hypervisor): Promise<Probe> {
  const late = AbortSignal.timeout(probeTimeoutMs);
  try {
    await vm.launch(late);
    const grace = sleep(probeTimeoutMs, undefined, { ref: false });
    const exit = await Promise.race([vm.exited, grace]);
    if (vm.consoleTail().some((line) => line.includes(bootedWords))) {
      return { works: true, finding: 'a guest booted on KVM' };
    }
    const how = exit ? exit.cause : `it did not boot within ${probeTimeoutMs / 1000} s`;
    return { works: false, finding: `KVM cannot run a guest kernel here: ${how}` };
  } catch (e) {
    return { works: false, finding: `KVM cannot run a guest here: ${(e as Error).message}` };
  }
}
