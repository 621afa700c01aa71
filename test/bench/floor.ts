import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must, run } from '../harness/command.ts';
import { distDir } from '../harness/environment.ts';

/** The whole guest: it ends the VM as soon as the kernel has started it. */
const init = `
#include <sys/reboot.h>
int main(void) { return reboot(RB_AUTOBOOT); }
`;

/** A sandbox's command line, but for init. */
const kernelWords = [
  'root=/dev/vda rootfstype=erofs ro console=ttyS0 quiet loglevel=4 panic=-1 reboot=t',
  'scsi_mod.scan=manual random.trust_cpu=on cgroup_no_v1=all swiotlb=noforce noreplace-smp',
  'no_timer_check lapic_timer_khz=1000000 mitigations=off tsc=reliable',
  // an emulated guest cannot calibrate the host's TSC
  `tsc_early_khz=${hostTscKHz()} init=/init`,
];

function hostTscKHz(): number {
  const mhz = /^cpu MHz\s*:\s*([\d.]+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  return Math.round(Number(mhz) * 1000);
}

/**
 * The least that a VM costs: the same QEMU, kernel, memory and processor as a sandbox's, with an
 * init of one line in place of agent, runc and container. Software emulation only.
 */
export class Floor implements AsyncDisposable {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async make(): Promise<Floor> {
    const dir = await mkdtemp(join(tmpdir(), 'runv-floor-'));
    await mkdir(join(dir, 'root', 'dev'), { recursive: true });
    await writeFile(join(dir, 'init.c'), init);
    await must('gcc', ['-Os', '-static', '-o', join(dir, 'root', 'init'), join(dir, 'init.c')]);
    await must('mkfs.erofs', ['--quiet', join(dir, 'image'), join(dir, 'root')]);
    return new Floor(dir);
  }

  /** From the start of QEMU to its end. */
  async boot(): Promise<void> {
    const outcome = await run('qemu-system-x86_64', [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...['-M', 'microvm,acpi=on,rtc=on,auto-kernel-cmdline=off,memory-backend=mem'],
      ...['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', '512M'],
      ...['-object', 'memory-backend-memfd,id=mem,size=512M,share=on'],
      ...['-kernel', join(distDir, 'vmlinux'), '-append', kernelWords.join(' ')],
      ...[
        '-blockdev',
        `driver=file,node-name=root,filename=${join(this.#dir, 'image')},read-only=on`,
      ],
      ...['-device', 'virtio-blk-device,drive=root', '-serial', 'null'],
    ]);
    if (outcome.code !== 0) throw new Error(`the floor's VM failed: ${outcome.stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }
}
