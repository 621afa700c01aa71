import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import {
  addDirectVolume,
  findDirectVolume,
  parseDirectVolume,
  removeDirectVolume,
} from './direct-volume.ts';

const top = mkdtempSync(join(tmpdir(), 'runv-volumes-'));
after(() => rmSync(top, { recursive: true }));
const dir = join(top, 'volumes');
beforeEach(() => rmSync(dir, { recursive: true, force: true }));

/** A block device of the machine's; nothing opens it. */
const device = await (async () => {
  for (const number of await readdir('/sys/dev/block').catch(() => [])) {
    const uevent = await readFile(`/sys/dev/block/${number}/uevent`, 'utf8');
    const path = `/dev/${/^DEVNAME=(.+)$/m.exec(uevent)?.[1]}`;
    if (statSync(path, { throwIfNoEntry: false })?.isBlockDevice()) return path;
  }
  return undefined;
})();
const skip = device === undefined && 'a block device';
const record = { 'volume-type': 'block', device: device ?? '/dev/x', fstype: 'ext4' };
const json = (more: object = {}) => JSON.stringify({ ...record, ...more });

describe('records of direct volumes', () => {
  it('are read as drivers for Kata Containers write them', () => {
    const volume = parseDirectVolume(
      json({
        'volume-type': 'directvol',
        options: ['ro', 'noatime,discard', 'rprivate', 'bind'],
        metadata: { fsGroup: '3000', fsGroupChangePolicy: 'OnRootMismatch', other: 'ignored' },
        more: 1,
      }),
      '/v',
    );
    assert.deepEqual(volume, {
      device: record.device,
      fsType: 'ext4',
      options: ['noatime', 'discard'],
      readOnly: true,
      fsGroup: { gid: 3000, onRootMismatch: true },
    });
  });

  const bad: [what: string, text: string, says: RegExp][] = [
    ['no JSON', 'x\ny', /: direct volume \/v: its record is not JSON$/],
    ['no object', '[]', /its record is not a JSON object$/],
    ['another type', json({ 'volume-type': 'spdkvol' }), /volume-type must be .*, not "spdkvol"$/],
    ['no type', json({ 'volume-type': undefined }), /volume-type must be .*, not undefined$/],
    ['a relative device', json({ device: 'sda' }), /device must be an absolute path, not "sda"$/],
    ['no disk’s file system', json({ fstype: 'btrfs' }), /fstype must be .*ext4.*, not "btrfs"$/],
    ['options that are no list', json({ options: 'ro' }), /options must be a list of strings$/],
    ['metadata that is no object', json({ metadata: [] }), /metadata must be an object$/],
    [
      'a group by name',
      json({ metadata: { fsGroup: 'staff' } }),
      /fsGroup must be .*, not "staff"$/,
    ],
    [
      'another policy',
      json({ metadata: { fsGroup: '1', fsGroupChangePolicy: 'Never' } }),
      /fsGroupChangePolicy must be "Always" or "OnRootMismatch", not "Never"$/,
    ],
  ];
  for (const [what, text, says] of bad) {
    it(`are refused with ${what}`, () => {
      assert.throws(() => parseDirectVolume(text, '/v'), says);
    });
  }

  it('are kept where drivers look, under a name that leads nowhere else', { skip }, async () => {
    await addDirectVolume(dir, '/var/lib/a?>', json());
    assert.deepEqual(readdirSync(dir), ['L3Zhci9saWIvYT8-']);
    assert.deepEqual(readdirSync(join(dir, 'L3Zhci9saWIvYT8-')), ['mountInfo.json']);
    assert.equal(readFileSync(join(dir, 'L3Zhci9saWIvYT8-/mountInfo.json'), 'utf8'), json());
    await addDirectVolume(dir, '/v', json({ fstype: 'xfs' }));
    await addDirectVolume(dir, '/v', json({ fstype: 'ext4' }));
    // padded, as Go does it
    assert.ok(readdirSync(dir).includes('L3Y='));
    assert.equal((await findDirectVolume(dir, '/v'))?.volume.fsType, 'ext4');
    await removeDirectVolume(dir, '/v');
    assert.equal(await findDirectVolume(dir, '/v'), undefined);
    await assert.rejects(removeDirectVolume(dir, '/v'), /there is no direct volume \/v/);
  });

  it('are found for a volume and for what lies in it', { skip }, async () => {
    assert.equal(await findDirectVolume(dir, '/v/a'), undefined);
    await addDirectVolume(dir, '/v/a', json());
    const subPath = async (path: string) => (await findDirectVolume(dir, path))?.subPath;
    assert.equal(await subPath('/v/a'), '');
    assert.equal(await subPath('/v/a/'), '');
    assert.equal(await subPath('/v/a/b/c'), 'b/c');
    assert.equal(await subPath('/v/a/../a/b'), 'b');
    assert.equal(await subPath('/v/a/../ab'), undefined);
    assert.equal(await subPath('/v'), undefined);
    assert.equal(await subPath(`/v/${'long/'.repeat(200)}`), undefined);
  });

  it('that cannot be used are told, not passed over', { skip }, async () => {
    const place = join(dir, 'L3Y=');
    mkdirSync(place, { recursive: true });
    assert.equal(await findDirectVolume(dir, '/v'), undefined);
    const found = (text: string) => {
      writeFileSync(join(place, 'mountInfo.json'), text);
      return findDirectVolume(dir, '/v');
    };
    await assert.rejects(found('{'), /direct volume \/v: its record is not JSON/);
    await assert.rejects(found(' '.repeat(70_000)), /record is larger than 65536 bytes/);
    await assert.rejects(found(json({ device: '/dev/none' })), /there is no device \/dev\/none/);
    await assert.rejects(found(json({ device: '/dev/null' })), /\/dev\/null is not a block device/);
    rmSync(join(place, 'mountInfo.json'));
    mkdirSync(join(place, 'mountInfo.json'));
    await assert.rejects(findDirectVolume(dir, '/v'), /its record is not a file/);
  });

  it('are not made for paths or of texts that could not be used', { skip }, async () => {
    for (const path of ['v', '/', '/v/', '/v/../w', '//v', '']) {
      await assert.rejects(addDirectVolume(dir, path, json()), /path must be absolute/, path);
      await assert.rejects(removeDirectVolume(dir, path), /path must be absolute/, path);
    }
    await assert.rejects(addDirectVolume(dir, `/${'v'.repeat(200)}`, json()), /longer than 189/);
    await assert.rejects(addDirectVolume(dir, '/v', '{}'), /volume-type must be/);
    await assert.rejects(
      addDirectVolume(dir, '/v', json({ x: 'x'.repeat(70_000) })),
      /larger than/,
    );
    assert.throws(() => readdirSync(dir), /ENOENT/);
  });
});
