import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseArgs } from './shim-args.ts';

describe('shim command line', () => {
  it('is what containerd writes', () => {
    const words = '-namespace default -address /run/c.sock -publish-binary /usr/bin/containerd';
    const args = parseArgs([...words.split(' '), '-id', 'web-1', '-debug', 'start']);
    assert.deepEqual(args, {
      action: 'start',
      namespace: 'default',
      id: 'web-1',
      address: '/run/c.sock',
      bundle: '',
      debug: true,
    });
  });

  it('takes two dashes and equals signs, as Go does', () => {
    const args = parseArgs(['--namespace=k8s.io', '--id=a', '-bundle', '/b', 'delete']);
    assert.deepEqual([args.namespace, args.id, args.bundle], ['k8s.io', 'a', '/b']);
  });

  const bad: [name: string, words: string[], says: RegExp][] = [
    [
      'an id that leaves the state directory',
      ['-namespace', 'd', '-id', '../x', 'start'],
      /-id "..\/x"/,
    ],
    ['an id of dots', ['-namespace', 'd', '-id', '..', 'start'], /-id/],
    ['a missing id', ['-namespace', 'd', 'start'], /-id ""/],
    ['a long id', ['-namespace', 'd', '-id', 'x'.repeat(77), 'start'], /-id/],
    ['an unknown flag', ['-frobnicate', 'start'], /unknown flag -frobnicate/],
    ['no action', [], /expected one of start, delete/],
  ];
  for (const [name, words, says] of bad) {
    it(`refuses ${name}`, () => assert.throws(() => parseArgs(words), says));
  }
});
