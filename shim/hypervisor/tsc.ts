import { readFileSync } from 'node:fs';

/**
 * The host's TSC frequency in kHz, as the kernel reports it for the first processor. An emulated
 * guest reads the host's TSC, and cannot calibrate it reliably on a loaded host.
 */
export function hostTscKHz(): number | undefined {
  const [, mhz] = /^cpu MHz\s*:\s*([\d.]+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? [];
  return mhz === undefined ? undefined : Math.round(Number(mhz) * 1000);
}
