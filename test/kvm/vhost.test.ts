import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Code, RunvError } from '../../proto/error.ts';
import { KernelVsock } from '../../shim/hypervisor/vsock.ts';
import { describe, must, run } from '../harness/command.ts';
import { idle } from '../harness/ctr.ts';
import { qemuPid } from '../harness/runtime-processes.ts';
import { suite } from '../harness/suite.ts';

const s = suite();

const cidOf = ({ backend }: KernelVsock) => (backend.kind === 'vhost' ? backend.cid : undefined);
const isExhausted = (e: unknown) => e instanceof RunvError && e.code === Code.ResourceExhausted;

test('two hundred machines get two hundred CIDs', async () => {
  const claimed: KernelVsock[] = [];
  try {
    for (let n = 0; n < 200; n++) claimed.push(KernelVsock.claim());
    assert.equal(new Set(claimed.map(cidOf)).size, 200);
  } finally {
    for (const vsock of claimed) await vsock.stop();
  }
});

test('a CID that another has is passed over; without a free one there is an error', async () => {
  const first = KernelVsock.claim(() => 4242);
  try {
    const candidates = [4242, 4242, 4243];
    const second = KernelVsock.claim(() => candidates.shift() ?? 0);
    assert.equal(cidOf(second), 4243);
    await second.stop();
    assert.throws(() => KernelVsock.claim(() => 4242), isExhausted);
  } finally {
    await first.stop();
  }
  // given back with the descriptor
  await KernelVsock.claim(() => 4242).stop();
});

test('the CID of a running machine cannot be had by another, and is free after its end', async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  let cid: number;
  try {
    const args = readFileSync(`/proc/${qemuPid(s.containerd, id)}/cmdline`, 'utf8');
    cid = Number(/guest-cid=(\d+)/.exec(args)?.[1]);
    assert.ok(cid > 2, args);
    assert.throws(() => KernelVsock.claim(() => cid), isExhausted);
    assert.equal((await s.ctr.exec(id, ['echo', 'alive'])).stdout, 'alive\n');
  } finally {
    await s.ctr.remove(id);
  }
  await KernelVsock.claim(() => cid).stop();
});

// sandboxes have no network yet: this much of vhost-net can be shown
test('QEMU takes a tap with vhost-net into a microvm on KVM', async () => {
  await must('ip', ['tuntap', 'add', 'dev', 'runvlab0', 'mode', 'tap']);
  try {
    const outcome = await run(
      'qemu-system-x86_64',
      [
        ...['-M', 'microvm', '-accel', 'kvm', '-nodefaults', '-display', 'none', '-S'],
        ...['-netdev', 'tap,id=net,ifname=runvlab0,script=no,downscript=no,vhost=on'],
        ...['-device', 'virtio-net-device,netdev=net', '-monitor', 'stdio'],
      ],
      { stdin: 'info network\nquit\n' },
    );
    assert.equal(outcome.code, 0, describe(outcome));
    assert.match(outcome.stdout, /net: index=0,type=tap,ifname=runvlab0/, describe(outcome));
    assert.doesNotMatch(outcome.stderr, /vhost/, describe(outcome));
  } finally {
    await must('ip', ['link', 'delete', 'runvlab0']);
  }
});
