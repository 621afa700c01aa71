import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { probeKvm } from '../accelerator.ts';
import { run } from '../child.ts';
import { type Config, defaultConfigPath, loadConfig } from '../config.ts';

/** One thing looked at: whether containers can run with it, and what was found. */
interface Finding {
  readonly what: string;
  readonly ok: boolean;
  readonly found: string;
}

/** Programs that the shim runs, and the Debian package of each. */
const programs: Readonly<Record<string, string>> = {
  'mkfs.erofs': 'erofs-utils',
  'mkfs.ext4': 'e2fsprogs',
  mount: 'mount',
  unshare: 'util-linux',
  flock: 'util-linux',
  setpriv: 'util-linux',
};

/**
 * Looks at all a sandbox needs and prints a line for each.
 * @returns 0 when containers can run here, else 1
 */
export async function check(libDir: string, print: (line: string) => void): Promise<number> {
  let failed = false;
  const tell = ({ what, ok, found }: Finding) => {
    failed ||= !ok;
    print(`${ok ? 'ok  ' : 'FAIL'}  ${what}: ${found}`);
  };
  let config: Config;
  try {
    config = loadConfig(process.env, libDir);
    const file = process.env['RUNV_CONFIG'] ?? defaultConfigPath;
    tell({ what: 'configuration', ok: true, found: existsSync(file) ? file : 'defaults' });
  } catch (e) {
    tell({ what: 'configuration', ok: false, found: (e as Error).message });
    return 1;
  }
  const root = process.getuid?.() === 0;
  tell({ what: 'user', ok: root, found: root ? 'root' : 'not root: a shim runs as root' });
  for (const [program, pkg] of Object.entries(programs)) {
    const path = (process.env['PATH'] ?? '').split(':').find((d) => existsSync(join(d, program)));
    const found = path === undefined ? `not in PATH: install ${pkg}` : join(path, program);
    tell({ what: program, ok: path !== undefined, found });
  }
  tell(await qemuVersion(config));
  tell(vsock(config));
  tell(await kvm(config, libDir));
  return failed ? 1 : 0;
}

async function qemuVersion({ qemu }: Config): Promise<Finding> {
  try {
    const [first = ''] = (await run(qemu, ['--version'])).split('\n');
    return { what: 'qemu', ok: true, found: first };
  } catch (e) {
    return { what: 'qemu', ok: false, found: (e as Error).message };
  }
}

function vsock({ vsock, vhostDeviceVsock }: Config): Finding {
  const kernel = existsSync('/dev/vhost-vsock');
  if (kernel && vsock !== 'vhost-user') {
    return { what: 'vsock', ok: true, found: '/dev/vhost-vsock' };
  }
  const ok = existsSync(vhostDeviceVsock) && vsock !== 'vhost';
  const found = ok ? vhostDeviceVsock : `neither /dev/vhost-vsock nor ${vhostDeviceVsock}`;
  return { what: 'vsock', ok, found };
}

async function kvm(config: Config, libDir: string): Promise<Finding> {
  if (config.accelerator === 'tcg') {
    return { what: 'accelerator', ok: true, found: 'software emulation, as configured: slow' };
  }
  const probe = await probeKvm(config, libDir);
  const ok = probe.works || config.accelerator === 'auto';
  const fallback = probe.works || !ok ? '' : '; containers run under software emulation: slow';
  return { what: 'accelerator', ok, found: `${probe.finding}${fallback}` };
}
