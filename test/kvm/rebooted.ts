import { readFileSync } from 'node:fs';

/** What one life of the host tells the next. */
export interface BeforeReboot {
  readonly dir: string;
  readonly ids: readonly string[];
  readonly bootId: string;
}

/** On the disk; `/run` is a new one after a reboot. */
export const stateFile = '/var/lab/before-reboot.json';

/** As installed: the journals go with a reboot, the disks do not. */
export const rebootedConfig = { run_dir: '/run/runv-reboot' } as const;

export function bootIdNow(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
