import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MS } from '../proto/sys.ts';
import { mountOptions } from './rootfs.ts';

describe('mount options', () => {
  const rows: [options: string[], flags: number, data: string][] = [
    [[], 0, ''],
    [['rw', 'defaults'], 0, ''],
    [['ro', 'noatime'], MS.RDONLY | MS.NOATIME, ''],
    [['nosuid', 'data=ordered', 'commit=5'], MS.NOSUID, 'data=ordered,commit=5'],
  ];
  for (const [options, flags, data] of rows) {
    it(`splits ${JSON.stringify(options)}`, () => {
      assert.deepEqual(mountOptions(options), { flags, data });
    });
  }
});
