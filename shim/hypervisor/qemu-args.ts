import type { NetworkDevice, VmSpec } from './hypervisor.ts';

/** How the guest's vsock device reaches the host. */
export type VsockBackend =
  | { readonly kind: 'vhost'; readonly cid: number; readonly fd: number }
  | { readonly kind: 'vhost-user'; readonly fd: number };

/** What the virtual machine is made of; every path as QEMU sees it. */
export interface QemuArgs extends VmSpec {
  /** Shown by `ps`; also QEMU's own name for the guest. */
  readonly name: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly kernel: string;
  readonly image: string;
  readonly vsock: VsockBackend;
  /** Network devices; descriptors as QEMU has them. */
  readonly network: readonly NetworkDevice[];
  /** An open, connected socket inherited by QEMU, on which it speaks QMP. */
  readonly qmpFd: number;
  /** The host's TSC frequency; given to the guest where calibration is unreliable (TCG). */
  readonly tscKHz: number | undefined;
  /** Appended to the kernel command line. */
  readonly extraKernelArgs: string;
}

/** The guest's kernel command line. */
export function kernelCommandLine(args: QemuArgs): string {
  return [
    'root=/dev/vda',
    'rootfstype=erofs',
    'ro',
    'console=ttyS0',
    'quiet',
    'loglevel=4',
    // A panicking guest must end at once: with -no-reboot QEMU then exits.
    'panic=-1',
    'reboot=t',
    // Disks are probed one by one when the shim has plugged them; scanning 256 targets takes long.
    'scsi_mod.scan=manual',
    'random.trust_cpu=on',
    'cgroup_no_v1=all',
    'swiotlb=noforce',
    // One processor's kernel is not patched for it at each boot; costs nothing with more.
    'noreplace-smp',
    'sysctl.kernel.modules_disabled=1',
    // Pods see their own interfaces, no spare one.
    'dummy.numdummies=0',
    ...(args.accelerator === 'tcg'
      ? [
          'no_timer_check',
          // The rate of QEMU's emulated APIC timer, which the guest else measures for 0.1 s.
          'lapic_timer_khz=1000000',
          // No other tenant shares an emulated processor's caches: the barriers only cost time.
          'mitigations=off',
          'tsc=reliable',
          ...(args.tscKHz === undefined ? [] : [`tsc_early_khz=${args.tscKHz}`]),
        ]
      : []),
    ...(args.extraKernelArgs === '' ? [] : [args.extraKernelArgs]),
    'init=/usr/bin/node',
    '--',
    '/usr/lib/runv/start.cjs',
  ].join(' ');
}

/** QEMU's whole command line after the program name. Pure: the same input gives the same words. */
export function qemuArgs(args: QemuArgs): string[] {
  return [
    ...['-name', args.name, '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-M', 'microvm,acpi=on,rtc=on,auto-kernel-cmdline=off,memory-backend=mem'],
    ...['-accel', args.accelerator],
    ...['-cpu', args.accelerator === 'kvm' ? 'host' : 'max'],
    ...['-smp', String(args.vcpus), '-m', `${args.memoryMiB}M`],
    ...['-object', `${memoryBackend(args.vsock)},id=mem,size=${args.memoryMiB}M`],
    ...['-global', 'virtio-mmio.force-legacy=false'],
    ...['-kernel', args.kernel, '-append', kernelCommandLine(args)],
    ...['-chardev', `socket,id=qmp,fd=${args.qmpFd}`, '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...[
      '-blockdev',
      // Read-only and shared by every pod: a lock would only stand in the way of an upgrade.
      `driver=file,node-name=root,filename=${args.image},read-only=on,locking=off`,
    ],
    ...['-device', 'virtio-blk-device,drive=root'],
    ...['-device', 'virtio-scsi-device,id=scsi'],
    ...['-device', 'virtio-balloon-device,free-page-reporting=on'],
    ...[
      '-object',
      'rng-random,id=rng,filename=/dev/urandom',
      '-device',
      'virtio-rng-device,rng=rng',
    ],
    ...['-fsdev', 'local,id=share,path=/share,security_model=none,multidevs=remap'],
    ...['-device', 'virtio-9p-device,fsdev=share,mount_tag=runv-share'],
    ...args.network.flatMap(networkArgs),
    ...vsockArgs(args.vsock),
  ];
}

function networkArgs({ fd, vhostFd, mac }: NetworkDevice, n: number): string[] {
  const vhost = vhostFd === undefined ? '' : `,vhost=on,vhostfd=${vhostFd}`;
  return [
    ...['-netdev', `tap,id=net${n},fd=${fd}${vhost}`],
    ...['-device', `virtio-net-device,netdev=net${n},mac=${mac}`],
  ];
}

/**
 * Shared where another process reads the guest's memory: a vhost-user device. Anonymous memory is
 * the better one, as QEMU aligns it and the host then backs it with huge pages: a fraction of the
 * page faults with which KVM fills a nested page table.
 */
function memoryBackend(vsock: VsockBackend): string {
  return vsock.kind === 'vhost' ? 'memory-backend-ram' : 'memory-backend-memfd,share=on';
}

function vsockArgs(vsock: VsockBackend): string[] {
  switch (vsock.kind) {
    case 'vhost':
      return ['-device', `vhost-vsock-device,guest-cid=${vsock.cid},vhostfd=${vsock.fd}`];
    case 'vhost-user':
      return [
        ...['-chardev', `socket,id=vsock,fd=${vsock.fd}`],
        ...['-device', 'vhost-user-vsock-device,chardev=vsock'],
      ];
  }
}
