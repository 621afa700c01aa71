import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseVersion } from './containerd-version.ts';

const rows: [text: string, version: string][] = [
  ['containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3', '1.6'],
  ['containerd github.com/containerd/containerd/v2 2.1.9+unknown ', '2.1'],
  ['containerd github.com/containerd/containerd/v2 v2.0.0 deadbeef', '2.0'],
  ['containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+deb13u1', '1.7'],
  ['k3s version v2.30.1+k3s1', '1.6'],
  ['', '1.6'],
];
for (const [text, version] of rows) {
  it(`takes ${JSON.stringify(text)} for version ${version}`, () => {
    const { major, minor } = parseVersion(text);
    assert.equal(`${major}.${minor}`, version);
  });
}
