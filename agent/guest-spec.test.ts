import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  guestProcess,
  guestResources,
  guestSpec,
  hasOwnNamespace,
  type GuestPlace,
} from './guest-spec.ts';

const place: GuestPlace = {
  rootPath: '/run/runv/c/rootfs',
  terminal: false,
  sysfs: '/nonexistent',
  sharedPids: undefined,
  cgroupsPath: '/runv/c',
  volumeSources: new Map(),
  deviceNumbers: new Map(),
  hasCharDevice: () => true,
};
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const rewrite = (spec: object, more: Partial<GuestPlace> = {}) =>
  guestSpec(bytes(spec), { ...place, ...more });

describe('guest specification', () => {
  it('takes out what belongs to the host and leaves the rest alone', () => {
    const spec = rewrite({
      ociVersion: '1.0.2',
      hooks: { prestart: [] },
      root: { path: '/host/rootfs', readonly: true },
      process: { args: ['sh'], apparmorProfile: 'cri', selinuxLabel: 'x', noNewPrivileges: true },
      linux: {
        namespaces: [{ type: 'network', path: '/proc/7/ns/net' }, { type: 'pid' }],
        mountLabel: 'l',
        intelRdt: {},
        seccomp: { defaultAction: 'SCMP_ACT_ALLOW' },
      },
    });
    assert.deepEqual(spec, {
      ociVersion: '1.0.2',
      root: { path: '/run/runv/c/rootfs', readonly: true },
      process: { args: ['sh'], noNewPrivileges: true, terminal: false },
      mounts: [],
      linux: {
        namespaces: [{ type: 'pid' }, { type: 'cgroup' }],
        seccomp: { defaultAction: 'SCMP_ACT_ALLOW' },
        cgroupsPath: '/runv/c',
        devices: [],
        resources: { devices: [] },
      },
    });
  });

  it('replaces the sources of volumes by index', () => {
    const mounts = [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/data', type: 'ext4', source: '/dev/loop0' },
      { destination: '/file', type: 'bind', source: '/host/file', options: ['bind', 'ro'] },
    ];
    const volumeSources = new Map([
      [1, '/volumes/1'],
      [2, '/share/file'],
    ]);
    const spec = rewrite({ mounts }, { volumeSources });
    assert.deepEqual(spec['mounts'], [
      mounts[0],
      { destination: '/data', type: 'bind', source: '/volumes/1', options: ['rbind'] },
      { destination: '/file', type: 'bind', source: '/share/file', options: ['bind', 'ro'] },
    ]);
  });

  it('refuses a volume for a mount that is not there', () => {
    const volumeSources = new Map([[3, '/x']]);
    assert.throws(() => rewrite({ mounts: [] }, { volumeSources }), /no mount 3/);
  });

  it("gives a block device the guest's numbers, and the rules that name it", () => {
    const rule = (minor: number) => ({ allow: true, type: 'b', major: 7, minor, access: 'rwm' });
    const spec = rewrite(
      {
        linux: {
          devices: [{ path: '/dev/loop3', type: 'b', major: 7, minor: 3, fileMode: 0o660 }],
          resources: { devices: [{ allow: false }, rule(3), rule(4)], memory: { limit: 1 } },
        },
      },
      { deviceNumbers: new Map([[0, { major: 8, minor: 16 }]]) },
    );
    assert.deepEqual(spec['linux'], {
      cgroupsPath: '/runv/c',
      namespaces: [{ type: 'cgroup' }],
      devices: [{ path: '/dev/loop3', type: 'b', major: 8, minor: 16, fileMode: 0o660 }],
      resources: {
        devices: [{ allow: false }, { ...rule(3), major: 8, minor: 16 }, rule(4)],
        memory: { limit: 1 },
      },
    });
  });

  it('refuses a block device that no disk of the request stands for', () => {
    const devices = [{ path: '/dev/sdz', type: 'b', major: 8, minor: 0 }];
    assert.throws(() => rewrite({ linux: { devices } }), /the guest has no block device 8:0/);
  });

  it('gives the terminal that the request asks for', () => {
    const spec = rewrite({ process: { terminal: false } }, { terminal: true });
    assert.deepEqual(spec['process'], { terminal: true });
  });

  it('limits nothing that only the host has', () => {
    const sysfs = mkdtempSync(join(tmpdir(), 'runv-sysfs-'));
    mkdirSync(join(sysfs, 'kernel/mm/hugepages/hugepages-2048kB'), { recursive: true });
    const hugepageLimits = [
      { pageSize: '2MB', limit: 0 },
      { pageSize: '1GB', limit: 0 },
    ];
    const resources = {
      cpu: { shares: 1024, cpus: '2-3', mems: '1' },
      memory: { limit: 1 },
      hugepageLimits,
      blockIO: { weight: 10, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }] },
      rdma: { mlx5: { hcaHandles: 1 } },
      network: { classID: 1 },
    };
    assert.deepEqual(guestResources(bytes(resources), sysfs), {
      cpu: { shares: 1024 },
      memory: { limit: 1 },
      hugepageLimits: hugepageLimits.slice(0, 1),
      blockIO: { weight: 10 },
    });
    rmSync(sysfs, { recursive: true });
  });

  it('tells which namespaces are new', () => {
    const spec = rewrite({ linux: { namespaces: [{ type: 'pid', path: '/proc/1/ns/pid' }] } });
    assert.equal(hasOwnNamespace(spec, 'pid'), true);
    assert.equal(hasOwnNamespace(spec, 'network'), false);
  });

  it('refuses a character device that the guest lacks, by its path', () => {
    const devices = [{ path: '/dev/kvm', type: 'c', major: 10, minor: 232 }];
    assert.throws(
      () => rewrite({ linux: { devices } }, { hasCharDevice: () => false }),
      /device \/dev\/kvm: the guest has no character device 10:232/,
    );
  });

  for (const [name, text] of Object.entries({ list: '[]', number: '7', garbage: '{', none: '' })) {
    it(`refuses a ${name}`, () => {
      assert.throws(() => guestSpec(Buffer.from(text), place), /specification is not/);
      assert.throws(() => guestProcess(Buffer.from(text)), /process is not/);
    });
  }
});
