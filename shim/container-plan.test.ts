import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { planContainer } from './container-plan.ts';
import type { OciSpec } from './oci.ts';

const spec = (more: Partial<OciSpec> = {}, linux: OciSpec['linux'] = {}): OciSpec => ({
  process: {},
  root: {},
  ...more,
  linux: { namespaces: [{ type: 'network' }], ...linux },
});

describe('container plan', () => {
  it('refuses host network', () => {
    assert.throws(() => planContainer({ ...spec(), linux: { namespaces: [] } }), /host network/);
  });

  it('shares bind mounts by index and leaves the guest its own file systems', () => {
    const { volumes, spec: guest } = planContainer(
      spec({
        mounts: [
          { destination: '/proc', type: 'proc', source: 'proc' },
          { destination: '/etc/hosts', type: 'bind', source: '/h', options: ['rbind', 'ro'] },
          { destination: '/data', source: '/d', options: ['rbind', 'rprivate'] },
        ],
      }),
    );
    assert.deepEqual(volumes, [
      { kind: 'share', index: 1, source: '/h', readOnly: true, isPrivate: false },
      { kind: 'share', index: 2, source: '/d', readOnly: false, isPrivate: true },
    ]);
    assert.equal(guest.mounts?.[0]?.type, 'proc');
  });

  it('puts file system options on the disk and mount options on the bind', () => {
    const options = ['noatime', 'ro', 'rprivate', 'loop'];
    const { volumes, spec: guest } = planContainer(
      spec({ mounts: [{ destination: '/data', type: 'ext4', source: '/dev/loop7', options }] }),
    );
    assert.deepEqual(volumes, [
      {
        kind: 'disk',
        index: 0,
        source: '/dev/loop7',
        readOnly: true,
        fsType: 'ext4',
        options: ['noatime'],
      },
    ]);
    assert.deepEqual(guest.mounts?.[0]?.options, ['rbind', 'ro', 'rprivate']);
    assert.equal(guest.mounts?.[0]?.type, 'bind');
  });

  it('passes only devices through that a rule names', () => {
    const device = (minor: number) => ({ path: `/dev/loop${minor}`, type: 'b', major: 7, minor });
    const { blockDevices, spec: guest } = planContainer(
      spec(
        {},
        {
          devices: [device(0), device(1)],
          resources: { devices: [{ allow: true }, { allow: true, type: 'b', major: 7, minor: 1 }] },
          namespaces: [{ type: 'network' }],
        },
      ),
    );
    assert.deepEqual(blockDevices, [{ index: 0, device: device(1), readOnly: false }]);
    assert.deepEqual(guest.linux?.devices, [device(1)]);
  });

  it('opens a device read-only that no rule lets the container write to', () => {
    const device = { path: '/dev/loop0', type: 'b', major: 7, minor: 0 };
    const rule = (type: string, access: string) => ({
      allow: true,
      type,
      major: 7,
      minor: 0,
      access,
    });
    const plan = (...devices: object[]) =>
      planContainer(
        spec(
          {},
          {
            devices: [device],
            resources: { devices: devices as never },
            namespaces: [{ type: 'network' }],
          },
        ),
      ).blockDevices;
    assert.deepEqual(plan(rule('b', 'r')), [{ index: 0, device, readOnly: true }]);
    assert.deepEqual(plan(rule('c', 'rwm')), []);
  });

  for (const type of ['bind', 'ext4']) {
    it(`refuses a ${type} mount with a relative source`, () => {
      const mounts = [{ destination: '/x', type, source: 'rel' }];
      assert.throws(() => planContainer(spec({ mounts })), /mount \/x: /);
    });
  }
});
