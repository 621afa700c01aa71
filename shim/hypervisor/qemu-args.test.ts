import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernelCommandLine, type QemuArgs, qemuArgs } from './qemu-args.ts';

const base: QemuArgs = {
  name: 'runv-x',
  accelerator: 'tcg',
  kernel: '/k',
  image: '/i',
  vcpus: 2,
  memoryMiB: 256,
  vsock: { kind: 'vhost-user', fd: 4 },
  qmpFd: 3,
  tscKHz: 2_600_000,
  extraKernelArgs: '',
  network: [],
};

describe('QEMU command line', () => {
  const words = (args: Partial<QemuArgs>) => qemuArgs({ ...base, ...args }).join(' ');

  it('gives a vhost-user guest its proxy, a vhost guest its CID', () => {
    assert.match(words({}), /socket,id=vsock,fd=4 -device vhost-user-vsock-device,chardev=vsock/);
    assert.match(
      words({ vsock: { kind: 'vhost', cid: 77, fd: 4 } }),
      /vhost-vsock-device,guest-cid=77,vhostfd=4/,
    );
  });

  it('shares memory where vhost-user needs it, and nowhere else', () => {
    assert.match(words({}), /memory-backend-memfd,share=on,id=mem,size=256M/);
    assert.match(
      words({ vsock: { kind: 'vhost', cid: 77, fd: 4 } }),
      /-object memory-backend-ram,id=mem,size=256M/,
    );
  });

  it('never writes to the guest image', () => {
    assert.match(words({}), /node-name=root,filename=\/i,read-only=on/);
  });

  it('tells an emulated guest the TSC, and a KVM guest nothing of it', () => {
    assert.match(kernelCommandLine(base), /tsc_early_khz=2600000/);
    assert.doesNotMatch(kernelCommandLine({ ...base, accelerator: 'kvm' }), /tsc|mitigations/);
  });

  it('has a network device for each tap, and its packets copied by the kernel where it can', () => {
    assert.doesNotMatch(words({}), /net/);
    const network = [
      { fd: 5, vhostFd: 6, mac: '02:00:00:00:00:01' },
      { fd: 7, vhostFd: undefined, mac: '02:00:00:00:00:02' },
    ];
    const line = words({ network });
    assert.match(line, /tap,id=net0,fd=5,vhost=on,vhostfd=6 /);
    assert.match(
      line,
      /tap,id=net1,fd=7 -device virtio-net-device,netdev=net1,mac=02:00:00:00:00:02/,
    );
  });

  it('puts configured words before init, so that they reach the kernel', () => {
    const line = kernelCommandLine({ ...base, extraKernelArgs: 'panic=5' });
    assert.match(line, / panic=5 init=\/usr\/bin\/node -- /);
  });
});
