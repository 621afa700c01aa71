import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Config } from './config.ts';
import type { OciSpec } from './oci.ts';
import { interfacesAsked, sizeVm } from './sizing.ts';

const config = {
  defaultVcpus: 1,
  maxVcpus: 4,
  defaultMemoryMiB: 512,
  baseMemoryMiB: 192,
  maxMemoryMiB: 2048,
} as Config;

type Resources = NonNullable<OciSpec['linux']>['resources'];
const size = (resources: Resources = {}, annotations: Record<string, string> = {}) =>
  sizeVm({ linux: { resources: resources ?? {} }, annotations }, config);

describe('VM size', () => {
  const rows: [name: string, resources: Resources, memoryMiB: number, vcpus: number][] = [
    ['defaults without limits', {}, 512, 1],
    ['adds the base to a memory limit', { memory: { limit: 64 << 20 } }, 256, 1],
    ['rounds memory up', { memory: { limit: (64 << 20) + 1 } }, 257, 1],
    ['takes -1 for no limit', { memory: { limit: -1 } }, 512, 1],
    ['stops at the configured most', { memory: { limit: 2 ** 50 } }, 2048, 1],
    ['rounds processors up', { cpu: { quota: 150_000, period: 100_000 } }, 512, 2],
    ['gives at least one processor', { cpu: { quota: 1000, period: 100_000 } }, 512, 1],
    ['stops at the configured most processors', { cpu: { quota: 64e5, period: 1e5 } }, 512, 4],
  ];
  for (const [name, resources, memoryMiB, vcpus] of rows) {
    it(name, () => assert.deepEqual(size(resources), { memoryMiB, vcpus }));
  }

  it('lets annotations override', () => {
    const annotations = { 'io.runv.memory_mib': '1024', 'io.runv.vcpus': '3' };
    assert.deepEqual(size({}, annotations), { memoryMiB: 1024, vcpus: 3 });
  });

  const pods: [name: string, pod: Record<string, string>, memoryMiB: number, vcpus: number][] = [
    ['gives a pod without limits the default', {}, 512, 1],
    ['takes zeros for none', { memory: '0', 'cpu-quota': '0', 'cpu-shares': '0' }, 512, 1],
    ['takes the least shares for none', { 'cpu-shares': '2' }, 512, 1],
    ['adds the base to the sum of limits', { memory: `${64 << 20}` }, 256, 1],
    ['rounds the quota up', { 'cpu-quota': '250000', 'cpu-period': '100000' }, 512, 3],
    ['takes a missing period for 100 ms', { 'cpu-quota': '250000' }, 512, 3],
    ['goes by the request where there is no limit', { 'cpu-shares': '2560' }, 512, 3],
    ['prefers the limit', { 'cpu-shares': '1024', 'cpu-quota': '200000' }, 512, 2],
    ['never exceeds the bounds', { 'cpu-shares': '262144', memory: `${2 ** 50}` }, 2048, 4],
  ];
  const pod = (values: Record<string, string>) => {
    const entries = Object.entries(values);
    const own = entries.map(([name, value]) => [`io.kubernetes.cri.sandbox-${name}`, value]);
    const annotations = Object.fromEntries(own) as Record<string, string>;
    // a sandbox's own limits bind a process that does not run
    const resources = { memory: { limit: 1 << 20 } };
    return size(resources, { 'io.kubernetes.cri.container-type': 'sandbox', ...annotations });
  };
  for (const [name, values, memoryMiB, vcpus] of pods) {
    it(name, () => assert.deepEqual(pod(values), { memoryMiB, vcpus }));
  }

  for (const bad of ['lots', '1e9', '1.5', '']) {
    it(`refuses a pod's memory of ${JSON.stringify(bad)}`, () => {
      assert.throws(() => pod({ memory: bad }), /sandbox-memory must be a whole number/);
    });
  }

  for (const bad of ['16', '4096', '1e3', '-1', '', 'lots']) {
    it(`refuses a memory annotation of ${JSON.stringify(bad)}`, () => {
      assert.throws(() => size({}, { 'io.runv.memory_mib': bad }), /io\.runv\.memory_mib must be/);
    });
  }
});

describe('interfaces', () => {
  const asked = (text: string) => interfacesAsked({ annotations: { 'io.runv.interfaces': text } });

  it('are as many as the annotation says, and not told without it', () => {
    assert.equal(asked('1'), 1);
    assert.equal(asked('8'), 8);
    assert.equal(interfacesAsked({}), undefined);
  });

  for (const bad of ['0', '9', '-1', '1.5', '2e0', '', 'two']) {
    it(`cannot be ${JSON.stringify(bad)}`, () => {
      assert.throws(() => asked(bad), /io\.runv\.interfaces must be a whole number from 1 to 8/);
    });
  }
});
