import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cri } from '../proto/messages.ts';
import { ContainerProcess } from './process.ts';
import type { OciSpec } from './oci.ts';
import { specOfPod, withPodMounts, writePodFiles } from './pod-config.ts';
import { podRole } from './pod.ts';
import { pidsJoined } from './stand-in.ts';

const annotated = (type: string, sandbox = ''): OciSpec => ({
  annotations: {
    'io.kubernetes.cri.container-type': type,
    'io.kubernetes.cri.sandbox-id': sandbox,
  },
});

describe('role in a pod', () => {
  it('follows the annotations', () => {
    assert.deepEqual(podRole({}), { kind: 'alone' });
    assert.deepEqual(podRole(annotated('sandbox', 'a')), { kind: 'sandbox' });
    assert.deepEqual(podRole(annotated('container', 'a')), { kind: 'member', sandbox: 'a' });
  });

  for (const bad of ['', '..', 'a/b', '../../etc']) {
    it(`refuses ${JSON.stringify(bad)} for a sandbox`, () => {
      assert.throws(() => podRole(annotated('container', bad)), /is no sandbox/);
    });
  }
});

describe('pid namespace with a path', () => {
  const running = (id: string, pid: number) => {
    const stdio = { stdin: '', stdout: '', stderr: '', terminal: false };
    const init = new ContainerProcess('', stdio);
    init.created(pid);
    return { id, init };
  };
  const of = (path: string): OciSpec => ({ linux: { namespaces: [{ type: 'pid', path }] } });
  const containers = [running('a', 11), running('b', 12)];

  it("is the pod's by the sandbox's pid, and a container's by its own", () => {
    assert.equal(pidsJoined(of('/proc/7/ns/pid'), 7, containers), '');
    assert.equal(pidsJoined(of('/proc/12/ns/pid'), 7, containers), 'b');
    assert.equal(pidsJoined({ linux: {} }, 7, containers), '');
  });

  it('is refused when nobody of the pod has it', () => {
    assert.throws(() => pidsJoined(of('/proc/99/ns/pid'), 7, containers), /no running container/);
  });
});

describe('pod of the sandbox API', () => {
  const config = cri.PodSandboxConfig.decode(
    cri.PodSandboxConfig.encode({
      hostname: 'web',
      dnsConfig: { servers: ['192.0.2.53'], searches: ['a', 'b'], options: ['ndots:5'] },
      annotations: { 'io.runv.vcpus': '2', 'io.kubernetes.cri.container-type': 'container' },
      linux: {
        cgroupParent: '/kubepods.slice/kubepods-pod1.slice',
        sysctls: { 'net.core.somaxconn': '9' },
        resources: { memoryLimitInBytes: 64 << 20 },
      },
    }),
  );

  it('becomes the specification that CRI would write', () => {
    const spec = specOfPod('id1', config, '/run/netns/x');
    assert.deepEqual(podRole(spec), { kind: 'sandbox' });
    assert.equal(spec.annotations?.['io.runv.vcpus'], '2');
    assert.equal(spec.annotations?.['io.kubernetes.cri.sandbox-memory'], String(64 << 20));
    assert.deepEqual(spec.linux?.namespaces, [{ type: 'network', path: '/run/netns/x' }]);
    assert.deepEqual(spec.linux?.sysctl, { 'net.core.somaxconn': '9' });
    assert.equal(spec.linux?.cgroupsPath, 'kubepods-pod1.slice:cri-containerd:id1');
  });

  it('has its files, unless a container brings its own', () => {
    const dir = mkdtempSync(join(tmpdir(), 'runv-pod-'));
    try {
      const mounts = writePodFiles(config, dir);
      assert.equal(readFileSync(join(dir, 'hostname'), 'utf8'), 'web\n');
      const resolv = 'search a b\nnameserver 192.0.2.53\noptions ndots:5\n';
      assert.equal(readFileSync(join(dir, 'resolv.conf'), 'utf8'), resolv);
      const own = { destination: '/etc/hosts', type: 'bind', source: '/own' };
      const privateShm = { destination: '/dev/shm', type: 'tmpfs', source: 'shm' };
      const merged = withPodMounts({ mounts: [privateShm, own] }, mounts).mounts ?? [];
      const sources = Object.fromEntries(merged.map((m) => [m.destination, m.source]));
      assert.deepEqual(sources, {
        '/etc/hosts': '/own',
        '/etc/hostname': join(dir, 'hostname'),
        '/etc/resolv.conf': join(dir, 'resolv.conf'),
        '/dev/shm': '/dev/shm',
      });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
