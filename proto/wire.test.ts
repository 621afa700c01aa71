import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Code, RunvError } from './error.ts';
import { Reader, Writer } from './wire.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function written(write: (w: Writer) => void): string {
  const writer = new Writer();
  write(writer);
  return Buffer.from(writer.finish()).toString('hex');
}

const malformed = (e: unknown): boolean =>
  e instanceof RunvError && e.code === Code.InvalidArgument;

suite('protobuf numbers', () => {
  const uint64s: readonly (readonly [bigint, string])[] = [
    [0n, '00'],
    [127n, '7f'],
    [128n, '8001'],
    [300n, 'ac02'],
    [2n ** 28n, '8080808001'],
    [2n ** 31n, '8080808008'],
    [2n ** 32n - 1n, 'ffffffff0f'],
    [2n ** 32n, '8080808010'],
    [2n ** 53n + 1n, '8180808080808010'],
    [2n ** 63n, '80808080808080808001'],
    [2n ** 64n - 1n, 'ffffffffffffffffff01'],
  ];
  for (const [value, bytes] of uint64s) {
    test(`uint64 ${value} is ${bytes}`, () => {
      assert.equal(
        written((w) => w.uint64(value)),
        bytes,
      );
      assert.equal(new Reader(hex(bytes)).uint64(), value);
    });
  }

  test('int64 and int32 are sign-extended', () => {
    assert.equal(
      written((w) => w.int64(-1n)),
      'ffffffffffffffffff01',
    );
    assert.equal(
      written((w) => w.int32(-2)),
      'feffffffffffffffff01',
    );
    assert.equal(new Reader(hex('ffffffffffffffffff01')).int64(), -1n);
    assert.equal(new Reader(hex('feffffffffffffffff01')).int32(), -2);
    assert.equal(new Reader(hex('80808080808080808001')).int64(), -(2n ** 63n));
  });

  test('a bool is true when any bit is set', () => {
    for (const bytes of ['01', '02', '8080808010', '80808080808080808001'])
      assert.equal(new Reader(hex(bytes)).bool(), true, bytes);
    assert.equal(new Reader(hex('8000')).bool(), false);
  });

  test('a double is eight bytes, little endian', () => {
    assert.equal(
      written((w) => w.double(-1.5)),
      '000000000000f8bf',
    );
    assert.equal(new Reader(hex('000000000000f8bf')).double(), -1.5);
  });

  test('what does not fit its type is refused, not cut', () => {
    const writer = new Writer();
    assert.throws(() => writer.uint32(-1), RangeError);
    assert.throws(() => writer.uint32(2 ** 32), RangeError);
    assert.throws(() => writer.uint32(1.5), RangeError);
    assert.throws(() => writer.uint32(NaN), RangeError);
    assert.throws(() => writer.int32(2 ** 31), RangeError);
    assert.throws(() => writer.uint64(-1n), RangeError);
    assert.throws(() => writer.uint64(2n ** 64n), RangeError);
    assert.throws(() => writer.uint64(1.5), RangeError);
    assert.throws(() => writer.int64(2n ** 63n), RangeError);
    assert.equal(writer.finish().length, 0);
  });
});

suite('malformed protobuf', () => {
  const cases: readonly (readonly [string, string, (r: Reader) => unknown])[] = [
    ['an empty number', '', (r) => r.uint32()],
    ['a number that goes on after the end', '80', (r) => r.uint64()],
    ['a number of eleven bytes', '8080808080808080808001', (r) => r.uint64()],
    ['field number 0', '02 00', (r) => r.tag()],
    ['a field number of more than 29 bits', '8280808010', (r) => r.tag()],
    ['a string longer than the rest', '05 61', (r) => r.string()],
    ['a length of more than 32 bits', '8180808010 61', (r) => r.string()],
    ['a string that is not UTF-8', '02 c328', (r) => r.string()],
    ['bytes longer than the rest', 'ffffffff0f', (r) => r.byteString()],
    ['a double cut short', '00', (r) => r.double()],
    ['a nested message longer than the rest', '05 08', (r) => r.nested(() => 0)],
    ['an end of a group that did not begin', '', (r) => r.skip(12)],
    ['a group without end', '08 01', (r) => r.skip(11)],
    ['wire type 6', '', (r) => r.skip(14)],
    ['a skipped field cut short', '05', (r) => r.skip(10)],
    ['groups nested too deep', '0b'.repeat(200), (r) => r.skip(11)],
  ];
  for (const [what, bytes, read] of cases) {
    test(`${what} is refused`, () => {
      assert.throws(() => read(new Reader(hex(bytes))), malformed);
    });
  }

  test('a nested message cannot read past its own end', () => {
    const reader = new Reader(hex('01 80 01'));
    assert.throws(() => reader.nested(() => reader.uint32()), malformed);
  });

  test('a group is skipped as a whole', () => {
    const reader = new Reader(hex('08 01 0b 12 01 61 0c 0c 2a'));
    reader.skip(11);
    assert.equal(reader.uint32(), 42);
  });
});
