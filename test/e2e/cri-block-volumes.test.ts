import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Message } from '../harness/cri-client.ts';
import { type CriSuite, eachVersion } from '../harness/cri.ts';
import { LoopDevice } from '../harness/loop-device.ts';

const mebibyte = 1 << 20;

let count = 0;
const newFile = (s: CriSuite) => join(s.containerd.dir, `disk-${(count += 1)}.img`);

const device = (host: string, container: string, permissions = 'rwm'): Message => ({
  devices: [{ host_path: host, container_path: container, permissions }],
});

const sha256 = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

eachVersion({ versions: ['1.6'] }, (s) => {
  test('a block volume is a device with the guest’s numbers, the same for all containers', async () => {
    await using disk = await LoopDevice.attach(newFile(s), { sizeBytes: 16 * mebibyte });
    await writeFile(disk.path, 'from the host');
    await s.withPod(async (pod) => {
      const linux = device(disk.path, '/dev/xvda');
      const one = await pod.run({ config: linux });
      const two = await pod.run({ config: linux });
      const numbers = 'echo $(( 0x$(stat -c %t /dev/xvda) )):$(( 0x$(stat -c %T /dev/xvda) ))';
      const found = await pod.execSh(
        one,
        `stat -c %F /dev/xvda; n=$(${numbers}); cat /sys/dev/block/$n/size; head -c 13 /dev/xvda`,
      );
      assert.equal(found, `block special file\n${16 * 2048}\nfrom the host`);
      assert.equal(await pod.execSh(one, numbers), await pod.execSh(two, numbers));
      // what one has read is not what the other has to go by
      const read = 'head -c 10 /dev/xvda';
      await pod.execSh(two, read);
      await pod.execSh(one, 'printf 0123456789 | dd of=/dev/xvda conv=notrunc,fsync 2>/dev/null');
      assert.equal(await pod.execSh(two, read), '0123456789');
      assert.equal(await pod.execSh(one, 'ls /dev/loop* 2>/dev/null | wc -l'), '0\n');
    });
    assert.equal((await readFile(disk.file)).toString('latin1', 0, 13), '0123456789ost');
  });

  test('a block volume without permission to write cannot be written to', async () => {
    await using disk = await LoopDevice.attach(newFile(s), { sizeBytes: 4 * mebibyte });
    await writeFile(disk.path, 'from the host');
    const before = await sha256(disk.file);
    await s.withPod(async (pod) => {
      const script = 'head -c 13 /dev/xvda; echo x >/dev/xvda || echo refused';
      const found = await pod.sh(script, { config: device(disk.path, '/dev/xvda', 'r') });
      assert.match(found, /from the host/);
      assert.match(found, /refused/);
    });
    assert.equal(await sha256(disk.file), before);
  });
});
