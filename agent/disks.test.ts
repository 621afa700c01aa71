import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { Undo } from '../proto/undo.ts';
import { ScsiDisks } from './disks.ts';

const sys = mkdtempSync(join(tmpdir(), 'runv-sysfs-'));
after(() => rmSync(sys, { recursive: true }));
const dev = join(sys, 'dev');
const scan = join(sys, 'class/scsi_host/host0/scan');

/** A sysfs in which target 5 holds disk `runv-9` as /dev/sdb. */
beforeEach(() => {
  rmSync(sys, { recursive: true });
  const device = join(sys, 'bus/scsi/devices/0:0:5:0');
  mkdirSync(join(device, 'block/sdb'), { recursive: true });
  mkdirSync(join(sys, 'class/scsi_host/host0'), { recursive: true });
  writeFileSync(join(device, 'block/sdb/dev'), '8:16\n');
  mkdirSync(dev);
  writeFileSync(join(dev, 'sdb'), '');
  writeFileSync(join(device, 'vpd_pg80'), Buffer.from('\0\x80\0\x24runv-9\0\0  ', 'latin1'));
});
const disk = (serial: string, target: number) => ({ serial, target, readOnly: false });

const newUndo = () => new Undo((e) => assert.fail(String(e)));
const disks = (timeoutMs?: number) => new ScsiDisks(sys, dev, newUndo, timeoutMs);

describe('disks', () => {
  it('probes just that target and finds the disk by it', async () => {
    const found = await disks().acquire(disk('runv-9', 5), newUndo());
    assert.deepEqual(found, { path: join(dev, 'sdb'), major: 8, minor: 16 });
    assert.equal(readFileSync(scan, 'utf8'), '0 5 0');
  });

  it('waits until the disk can be opened', async () => {
    rmSync(join(dev, 'sdb'));
    setTimeout(() => writeFileSync(join(dev, 'sdb'), ''), 20);
    const found = await disks().acquire(disk('runv-9', 5), newUndo());
    assert.equal(found.major, 8);
  });

  it('takes no disk with another serial', async () => {
    await assert.rejects(
      disks().acquire(disk('runv-8', 5), newUndo()),
      /has serial "runv-9", not "runv-8"/,
    );
  });

  it('says when no disk appears', async () => {
    await assert.rejects(
      disks(50).acquire(disk('runv-9', 6), newUndo()),
      /there is no disk at SCSI target 6/,
    );
  });

  it('refuses a target that a controller cannot have', async () => {
    await assert.rejects(disks().acquire(disk('runv-9', 256), newUndo()), /out of range/);
  });

  it('makes the kernel forget a disk with its last holder, and is content when it has', async () => {
    const scsi = disks();
    const file = join(sys, 'bus/scsi/devices/0:0:5:0/delete');
    const [one, two] = [newUndo(), newUndo()];
    await scsi.acquire(disk('runv-9', 5), one);
    await scsi.acquire(disk('runv-9', 5), two);
    await one.run();
    assert.ok(!existsSync(file));
    await two.run();
    assert.equal(readFileSync(file, 'utf8'), '1');
    await scsi.acquire(disk('runv-9', 5), one);
    rmSync(file);
    rmSync(join(sys, 'bus'), { recursive: true });
    await one.run();
  });
});
