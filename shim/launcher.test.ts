import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { task } from '../proto/messages.ts';

const annotated = (type: string, sandbox: string): object => ({
  ociVersion: '1.1.0',
  annotations: {
    'io.kubernetes.cri.container-type': type,
    'io.kubernetes.cri.sandbox-id': sandbox,
    'io.kubernetes.cri.sandbox-name': 'example',
  },
});

describe('containerd-shim-runv-v2', () => {
  let top = '';
  beforeEach(() => {
    top = mkdtempSync(join(tmpdir(), 'runv-launcher-'));
    mkdirSync(join(top, 'lib'));
    copyFileSync(join(import.meta.dirname, 'launcher.sh'), join(top, 'lib/shim'));
    writeFileSync(join(top, 'lib/node'), '#!/bin/sh\necho "node $*"\n', { mode: 0o755 });
    // A pod that runs: its bundle, and the state directory behind the bundle's link.
    mkdirSync(join(top, 'state'));
    writeFileSync(join(top, 'state/reply'), '{"version":3,"address":"unix:///s"}');
    mkdirSync(join(top, 'bundles/pod'), { recursive: true });
    writeFileSync(join(top, 'bundles/pod/address'), 'unix:///s');
    symlinkSync(join(top, 'state'), join(top, 'bundles/pod/runv'));
  });
  afterEach(() => rmSync(top, { recursive: true }));

  /** Calls it as containerd does, in the bundle of container `c1`. */
  const call = (action: string, spec?: object) => {
    const bundle = join(top, 'bundles/c1');
    mkdirSync(bundle, { recursive: true });
    rmSync(join(bundle, 'config.json'), { force: true });
    if (spec) writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
    const args = [join(top, 'lib/shim'), '-namespace', 'k8s.io', '-id', 'c1', action];
    const { stdout, stderr, status } = spawnSync('sh', args, { cwd: bundle, timeout: 30_000 });
    assert.equal(stderr.toString(), '');
    assert.equal(status, 0);
    return { bundle, stdout };
  };
  const nodeCalled = /^node \S+\/shim\.cjs -namespace k8s\.io -id c1 start\n$/;

  it("answers for a pod's container what its sandbox answered", () => {
    const { bundle, stdout } = call('start', annotated('container', 'pod'));
    assert.equal(stdout.toString(), '{"version":3,"address":"unix:///s"}');
    assert.equal(readFileSync(join(bundle, 'address'), 'utf8'), 'unix:///s');
  });

  it('leaves every other start to Node', () => {
    rmSync(join(top, 'state/reply'));
    assert.match(call('start', annotated('container', 'pod')).stdout.toString(), nodeCalled);
    writeFileSync(join(top, 'state/reply'), 'r');
    for (const spec of [
      undefined,
      { ociVersion: '1.1.0' },
      annotated('sandbox', 'c1'),
      annotated('sandbox', 'pod'),
      annotated('container', 'gone'),
      annotated('container', '../pod'),
      { ociVersion: '1.1.0', annotations: { 'io.kubernetes.cri.sandbox-id': 'pod' } },
    ]) {
      assert.match(call('start', spec).stdout.toString(), nodeCalled, JSON.stringify(spec));
    }
  });

  it('takes nothing that a container says for an annotation of its own', () => {
    const said = JSON.stringify({
      x: 1,
      ...(annotated('container', 'pod') as { annotations: object }).annotations,
    });
    for (const spec of [
      { process: { env: [`X=${said}`], args: [said] } },
      { annotations: { said } },
    ]) {
      assert.match(call('start', spec).stdout.toString(), nodeCalled, JSON.stringify(spec));
    }
  });

  it('answers `delete` where nothing is left to delete', () => {
    const before = Math.floor(Date.now() / 1000);
    const answer = task.DeleteResponse.decode(call('delete').stdout);
    assert.equal(answer.exitStatus, 137);
    const seconds = Number(answer.exitedAt?.seconds);
    assert.ok(seconds >= before && seconds <= Date.now() / 1000, String(seconds));
  });

  it('leaves `delete` to Node where the state of a sandbox is', () => {
    mkdirSync(join(top, 'bundles/c1'));
    symlinkSync(join(top, 'state'), join(top, 'bundles/c1/runv'));
    assert.match(call('delete').stdout.toString(), /^node \S+\/shim\.cjs .* delete\n$/);
  });
});
