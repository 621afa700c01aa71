import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../harness/command.ts';
import { idle } from '../harness/ctr.ts';
import { qemuPid } from '../harness/runtime-processes.ts';
import { suite } from '../harness/suite.ts';

// the guest's kernel says what it runs on, and debug brings what it says into the log
const s = suite({ runv: { debug: true, kernel_args: 'ignore_loglevel' } });

/** KVM's own counts of one VMM's machine, debugfs/kvm/PID-FD. */
function kvmCounters(pid: number): Record<string, number> {
  const top = '/sys/kernel/debug/kvm';
  const [dir, ...others] = readdirSync(top).filter((name) => name.startsWith(`${pid}-`));
  assert.ok(dir !== undefined && others.length === 0, `one machine of ${pid} in ${top}`);
  const files = readdirSync(join(top, dir, 'vcpu0'));
  const read = (name: string) => Number(readFileSync(join(top, dir, name), 'utf8'));
  assert.ok(files.length > 0);
  return Object.fromEntries(['exits', 'io_exits', 'halt_exits'].map((name) => [name, read(name)]));
}

test('a container’s machine runs on KVM, as QEMU, the host’s kernel and the guest say', async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  try {
    const log = await until('QEMU has answered', async () => {
      const text = await s.containerd.log();
      return text.includes('"kvm":{') && text;
    });
    assert.match(log, /"kvm":\{[^}]*"enabled":true/, 'QMP query-kvm');
    assert.match(log, /Hypervisor detected: KVM/, 'the signature in CPUID leaf 0x40000000');
    const {
      exits = 0,
      io_exits: io = 0,
      halt_exits: halts = 0,
    } = kvmCounters(qemuPid(s.containerd, id));
    assert.ok(exits > 100 && io > 0 && halts > 0, JSON.stringify({ exits, io, halts }));
  } finally {
    await s.ctr.remove(id);
  }
});

test('vsock is the kernel’s: no proxy runs beside QEMU', async () => {
  const id = await s.ctr.runDetached({ argv: idle });
  try {
    const args = readFileSync(`/proc/${qemuPid(s.containerd, id)}/cmdline`, 'utf8').split('\0');
    assert.ok(
      args.some((arg) => /^vhost-vsock-device,guest-cid=\d+,vhostfd=4$/.test(arg)),
      args.join(' '),
    );
    const names = readdirSync('/proc').flatMap((pid) => {
      try {
        return /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/comm`, 'utf8').trim() : [];
      } catch {
        return []; // ended meanwhile
      }
    });
    assert.ok(!names.some((name) => name.startsWith('vhost-device')));
    assert.ok(
      names.some((name) => name.startsWith('vhost-')),
      'a worker of the kernel’s vhost',
    );
  } finally {
    await s.ctr.remove(id);
  }
});
