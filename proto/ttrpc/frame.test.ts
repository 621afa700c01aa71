import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Code, RunvError } from '../error.ts';
import { random } from '../fixtures/random.ts';
import { encodeFrame, FrameParser, headerBytes, maxDataBytes } from './frame.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function parse(): { parser: FrameParser; seen: unknown[] } {
  const seen: unknown[] = [];
  const parser = new FrameParser({
    frame: ({ data, ...header }) =>
      seen.push({ ...header, data: Buffer.from(data).toString('hex') }),
    oversize: (header, lengthBytes) => seen.push({ ...header, lengthBytes }),
  });
  return { parser, seen };
}

// length, stream id, type, flags, data
const bytes = hex(
  '00000003 00000001 01 00 616263  00000000 80000001 03 05  00000001 ffffffff 02 00 ff',
);
const frames = [
  { streamId: 1, type: 1, flags: 0, data: '616263' },
  { streamId: 0x80000001, type: 3, flags: 5, data: '' },
  { streamId: 0xffffffff, type: 2, flags: 0, data: 'ff' },
];

suite('frames', () => {
  test('are written as a header of ten bytes, big endian, and data', () => {
    const written = frames.map((frame) => encodeFrame({ ...frame, data: hex(frame.data) }));
    assert.deepEqual(Buffer.concat(written), bytes);
  });

  for (const size of [1, 2, 3, 7, 10, 11, 13, bytes.length]) {
    test(`are read from chunks of ${size}`, () => {
      const { parser, seen } = parse();
      for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
      assert.deepEqual(seen, frames);
      assert.equal(parser.insideFrame, false);
    });
  }

  test('longer than 4 MiB are not written', () => {
    const frame = { streamId: 1, type: 1, flags: 0, data: Buffer.alloc(maxDataBytes + 1) };
    assert.throws(
      () => encodeFrame(frame),
      (e) => e instanceof RunvError && e.code === Code.ResourceExhausted,
    );
  });

  test('of 4 MiB are written and read, in pieces', () => {
    const next = random(1);
    const data = Buffer.alloc(maxDataBytes, 'abc');
    const frame = encodeFrame({ streamId: 5, type: 2, flags: 0, data });
    let read: Uint8Array | undefined;
    const parser = new FrameParser({
      frame: (found) => (read = found.data),
      oversize: () => assert.fail('not oversize'),
    });
    for (let at = 0; at < frame.length;) {
      const size = 1 + next(100_000);
      parser.push(frame.subarray(at, at + size));
      at += size;
    }
    assert.ok(read && data.equals(read));
  });

  test('longer than 4 MiB are told at once, skipped, and followed by the next', () => {
    const { parser, seen } = parse();
    parser.push(hex('00400001 00000007 01 02'));
    const oversize = { streamId: 7, type: 1, flags: 2, lengthBytes: maxDataBytes + 1 };
    assert.deepEqual(seen, [oversize]);
    assert.equal(parser.insideFrame, true);
    for (let left = maxDataBytes + 1; left > 0; left -= 65_536)
      parser.push(Buffer.alloc(Math.min(left, 65_536)));
    assert.equal(parser.insideFrame, false);
    parser.push(bytes);
    assert.deepEqual(seen, [oversize, ...frames]);
  });

  test('cut short are known to be unfinished', () => {
    for (const cut of [1, headerBytes - 1, headerBytes, headerBytes + 1]) {
      const { parser, seen } = parse();
      parser.push(bytes.subarray(0, cut));
      assert.deepEqual(seen, []);
      assert.equal(parser.insideFrame, true, `after ${cut} bytes`);
    }
  });

  test('announced but not sent do not cost their announced length', () => {
    const before = process.memoryUsage().arrayBuffers;
    const parsers = Array.from({ length: 100 }, () => parse().parser);
    for (const parser of parsers) parser.push(hex('00400000 00000001 01 00 00'));
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 100 * (256 << 10), `${grown} bytes for 100 frames`);
  });
});
