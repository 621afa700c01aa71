import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startReply } from './reply.ts';

const [v16, v17, v21] = [
  { major: 1, minor: 6 },
  { major: 1, minor: 7 },
  { major: 2, minor: 1 },
];

describe('reply of start', () => {
  it('is the plain address for containerd 1', () => {
    assert.equal(startReply('unix:///s', 'ttrpc', v16), 'unix:///s');
    assert.equal(startReply('unix:///s', 'ttrpc', v17), 'unix:///s');
  });

  it('is JSON with version 3 for containerd 2', () => {
    const reply = { version: 3, address: 'unix:///s', protocol: 'ttrpc' };
    assert.deepEqual(JSON.parse(startReply('unix:///s', 'ttrpc', v21)), reply);
  });

  it('names the socket by its path for gRPC', () => {
    const reply = { address: '/s', protocol: 'grpc' };
    assert.deepEqual(JSON.parse(startReply('unix:///s', 'grpc', v17)), { version: 2, ...reply });
    assert.deepEqual(JSON.parse(startReply('unix:///s', 'grpc', v21)), { version: 3, ...reply });
  });

  it('refuses gRPC with containerd 1.6', () => {
    assert.throws(() => startReply('unix:///s', 'grpc', v16), /needs containerd 1\.7/);
  });
});
