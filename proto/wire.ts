/**
 * Protocol Buffers' binary encoding: varints, lengths and tags, no messages.
 * Source: protobuf.dev/programming-guides/encoding. Written here because it is 200 lines, where the
 * library would add 5 ms to each start of the shim.
 */
import { Code, RunvError } from './error.ts';

/** The wire types in use; groups (3, 4) are read over, never written. */
export const WireType = { Varint: 0, I64: 1, Len: 2, GroupStart: 3, GroupEnd: 4, I32: 5 } as const;

/**
 * Elements of repeated fields and maps that one message may hold in all. An element of two bytes
 * becomes an object of a hundred, so 4 MiB from a hostile guest could otherwise fill the host.
 */
const maxElements = 1 << 17;

/** How deep unknown groups may nest; the recursion limit of the C++ and Go implementations. */
const maxGroupDepth = 100;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const malformed = (what: string): RunvError =>
  new RunvError(Code.InvalidArgument, `malformed protobuf: ${what}`);

/**
 * Reads one encoded message from front to back.
 * @throws RunvError InvalidArgument, from every method, when the bytes are not what is asked for
 */
export class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private pos = 0;
  private end: number;
  private elements = 0;
  // the upper half of the last varint
  private high = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.length;
  }

  get done(): boolean {
    return this.pos >= this.end;
  }

  /** A field's tag: number * 8 + wire type. */
  tag(): number {
    const tag = this.varint();
    if (this.high !== 0 || tag >>> 3 === 0) throw malformed('bad field number');
    return tag;
  }

  /** Reads a varint and returns its lower 32 bits, unsigned; the upper ones are in `high`. */
  private varint(): number {
    let low = 0;
    this.high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.pos < this.end ? this.bytes[this.pos++] : undefined;
      if (byte === undefined) throw malformed('cut short inside a number');
      const bits = byte & 0x7f;
      if (shift < 28) {
        low |= bits << shift;
      } else if (shift === 28) {
        low |= bits << 28;
        this.high = bits >>> 4;
      } else if (shift < 63) {
        this.high |= bits << (shift - 32);
      } else {
        this.high |= (bits & 1) << 31;
      }
      if (byte < 0x80) return low >>> 0;
    }
    throw malformed('a number of more than ten bytes');
  }

  uint32(): number {
    return this.varint();
  }

  int32(): number {
    return this.varint() | 0;
  }

  bool(): boolean {
    return (this.varint() | this.high) !== 0;
  }

  uint64(): bigint {
    const low = this.varint();
    return this.high === 0 ? BigInt(low) : (BigInt(this.high >>> 0) << 32n) | BigInt(low);
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  double(): number {
    return this.view.getFloat64(this.advance(8), true);
  }

  /** A copy, so that a few bytes kept do not keep the frame they came in. */
  byteString(): Uint8Array {
    const length = this.varint();
    const start = this.advance(length);
    return new Uint8Array(this.bytes.subarray(start, start + length));
  }

  string(): string {
    const length = this.varint();
    const start = this.advance(length);
    try {
      return utf8.decode(this.bytes.subarray(start, start + length));
    } catch {
      throw malformed('a string that is not UTF-8');
    }
  }

  /** Reads a length, then runs `read` confined to that many bytes. */
  nested<T>(read: () => T): T {
    const length = this.varint();
    const start = this.advance(length);
    const outer = this.end;
    this.pos = start;
    this.end = start + length;
    const result = read();
    this.pos = this.end;
    this.end = outer;
    return result;
  }

  /** Called for each element of a repeated field or map. */
  countElement(): void {
    if (++this.elements > maxElements) throw malformed(`more than ${maxElements} elements`);
  }

  /** Reads over a field that the receiver does not know. */
  skip(tag: number, depth = 0): void {
    const wireType = tag & 7;
    if (wireType === WireType.Varint) this.varint();
    else if (wireType === WireType.I64) this.advance(8);
    else if (wireType === WireType.Len) this.advance(this.varint());
    else if (wireType === WireType.I32) this.advance(4);
    else if (wireType === WireType.GroupStart && depth < maxGroupDepth) {
      const endTag = tag + 1;
      for (let inner = this.tag(); inner !== endTag; inner = this.tag())
        this.skip(inner, depth + 1);
    } else throw malformed(`unexpected wire type ${wireType}`);
  }

  private advance(length: number): number {
    const start = this.pos;
    if (this.high !== 0 || length > this.end - start) throw malformed('a length past the end');
    this.pos += length;
    return start;
  }
}

/**
 * Builds one encoded message.
 * @throws RangeError when a number does not fit the field's type: a bug of the sender
 */
export class Writer {
  private buffer = Buffer.allocUnsafe(256);
  private length = 0;

  finish(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  tag(fieldNumber: number, wireType: number): void {
    this.varint(fieldNumber * 8 + wireType);
  }

  uint32(value: number): void {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw outOfRange(value);
    this.varint(value);
  }

  int32(value: number): void {
    if (value !== (value | 0)) throw outOfRange(value);
    // negative numbers are sign-extended to 64 bits
    if (value < 0) this.varint64(BigInt.asUintN(64, BigInt(value)));
    else this.varint(value);
  }

  bool(value: boolean): void {
    this.varint(value ? 1 : 0);
  }

  uint64(value: number | bigint): void {
    const wide = BigInt(value);
    if (BigInt.asUintN(64, wide) !== wide) throw outOfRange(value);
    this.varint64(wide);
  }

  int64(value: number | bigint): void {
    const wide = BigInt(value);
    if (BigInt.asIntN(64, wide) !== wide) throw outOfRange(value);
    this.varint64(BigInt.asUintN(64, wide));
  }

  double(value: number): void {
    this.reserve(8);
    this.length = this.buffer.writeDoubleLE(value, this.length);
  }

  byteString(value: Uint8Array): void {
    this.varint(value.length);
    this.reserve(value.length);
    this.buffer.set(value, this.length);
    this.length += value.length;
  }

  string(value: string): void {
    const length = Buffer.byteLength(value);
    this.varint(length);
    this.reserve(length);
    this.buffer.write(value, this.length);
    this.length += length;
  }

  private varint(value: number): void {
    this.reserve(5);
    let rest = value;
    while (rest > 0x7f) {
      this.buffer[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.buffer[this.length++] = rest;
  }

  private varint64(value: bigint): void {
    this.reserve(10);
    let rest = value;
    while (rest > 0x7fn) {
      this.buffer[this.length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.buffer[this.length++] = Number(rest);
  }

  private reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
    larger.set(this.buffer.subarray(0, this.length));
    this.buffer = larger;
  }
}

function outOfRange(value: number | bigint): RangeError {
  return new RangeError(`${value} does not fit the field's type`);
}
