import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import { run } from './child.ts';
import type { Config } from './config.ts';
import { bootId } from './journal.ts';
import type { Probe } from './probe.ts';

/** The accelerator, where it is configured or was found before in this boot of the host. */
export function knownAccelerator(config: Config): 'kvm' | 'tcg' | undefined {
  if (config.accelerator === 'tcg') return 'tcg';
  const probe = earlierProbe(config);
  if (probe?.works) return 'kvm';
  return probe && config.accelerator === 'auto' ? 'tcg' : undefined;
}

/**
 * Which accelerator the sandbox gets; runs a guest on KVM where that is not known yet.
 * @throws RunvError FailedPrecondition when `kvm` is asked for and does not work
 */
export async function resolveAccelerator(config: Config, libDir: string): Promise<'kvm' | 'tcg'> {
  const { works, finding } = await probeKvm(config, libDir);
  if (works) return 'kvm';
  if (config.accelerator === 'kvm') {
    throw new RunvError(Code.FailedPrecondition, `accelerator = "kvm", but ${finding}`);
  }
  return 'tcg';
}

/**
 * Runs a guest on KVM, once per boot of the host: a `/dev/kvm` that cannot run a stock kernel is
 * common inside cloud VMs, and shows only then. The finding is kept in the configured `run_dir`,
 * for this boot and for the QEMU and kernel that it was made with: a kernel that does not boot says
 * nothing about KVM with another one.
 */
export async function probeKvm(config: Config, libDir: string): Promise<Probe> {
  const earlier = earlierProbe(config);
  if (earlier) return earlier;
  if (!existsSync('/dev/kvm')) return { works: false, finding: 'there is no /dev/kvm' };
  mkdirSync(config.runDir, { recursive: true, mode: 0o711 });
  const probe = JSON.parse(await runProbe(config.runDir, libDir)) as Probe;
  const file = probeFile(config.runDir);
  writeFileSync(`${file}.${process.pid}`, JSON.stringify({ ...probe, of: probed(config) }));
  renameSync(`${file}.${process.pid}`, file);
  return probe;
}

/**
 * In a process and mount namespace of its own, with which all ends that the guest needed. Who comes
 * meanwhile waits, and probes again: a fraction of a second, once.
 */
function runProbe(runDir: string, libDir: string): Promise<string> {
  const shim = [process.execPath, join(libDir, 'sandbox.cjs'), 'probe'];
  const namespace = ['unshare', '--net', '--mount', '--propagation', 'slave', ...shim];
  return run('flock', ['--no-fork', runDir, ...namespace]);
}

/** Why a sandbox runs under software emulation where KVM was hoped for; undefined: it was not. */
export function emulationReason(config: Config): string | undefined {
  return config.accelerator === 'auto' ? earlierProbe(config)?.finding : undefined;
}

const probeFile = (runDir: string) => join(runDir, 'kvm-probe.json');

/** What a finding holds for, as one text. */
function probed({ qemu, kernel }: Config): string {
  const versions = [qemu, kernel].map((path) => {
    const info = statSync(path, { throwIfNoEntry: false });
    return `${path} ${info?.ino} ${info?.size} ${info?.mtimeMs}`;
  });
  return [bootId(), ...versions].join(', ');
}

function earlierProbe(config: Config): Probe | undefined {
  try {
    const text = readFileSync(probeFile(config.runDir), 'utf8');
    const { of, ...probe } = JSON.parse(text) as Probe & { of?: string };
    return of === probed(config) ? probe : undefined;
  } catch {
    return undefined; // not probed yet
  }
}
