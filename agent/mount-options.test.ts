import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MS } from '../proto/sys.ts';
import { parseMountOptions } from './mount-options.ts';

describe('mount options', () => {
  const rows: [options: string[], flags: number, data: string][] = [
    [[], 0, ''],
    [['rw', 'defaults', 'loop', 'x-systemd.automount'], 0, ''],
    [['ro', 'noatime'], MS.RDONLY | MS.NOATIME, ''],
    [['nosuid', 'data=ordered', 'commit=5'], MS.NOSUID, 'data=ordered,commit=5'],
    [['nosuid,nodev', 'discard'], MS.NOSUID | MS.NODEV, 'discard'],
    [['ro', 'rw', 'noexec', 'exec'], 0, ''],
    [['constructor'], 0, 'constructor'],
  ];
  for (const [options, flags, data] of rows) {
    it(`splits ${JSON.stringify(options)}`, () => {
      assert.deepEqual(parseMountOptions(options), { flags, data });
    });
  }
});
