/** Messages as data: a table of fields is all that is generated for each (see generate.ts). */
import { Code, RunvError } from './error.ts';
import { Reader, WireType, Writer } from './wire.ts';

/** Turns one message type into bytes and back. */
export interface Codec<In, Out> {
  /** The full protobuf name, e.g. `containerd.events.TaskExit`; also the type URL in an Any. */
  readonly typeName: string;
  /**
   * Fields that are absent, undefined or zero take no bytes.
   * @throws RangeError when a number does not fit its field
   */
  encode(message: In): Uint8Array;
  /**
   * Unknown fields are dropped; absent ones get their default, a message `undefined`.
   * @throws RunvError InvalidArgument when the bytes are malformed
   */
  decode(bytes: Uint8Array): Out;
}

/** What generated tables refer to: a codec that can also decode into a message it has begun. */
export interface MessageType<In, Out> extends Codec<In, Out> {
  readonly fields: readonly Field[];
}

type Scalar = 'string' | 'bytes' | 'bool' | 'uint32' | 'int32' | 'uint64' | 'int64' | 'double';

/**
 * Field number, property, type, and what the table must say beyond that: `repeated`, `map` (string
 * to string: no other is in use), or the other properties of its oneof.
 */
export type Field = readonly [
  number: number,
  name: string,
  type: Scalar | MessageType<never, unknown>,
  rule?: 'repeated' | 'map' | readonly string[],
];

type Fields = Record<string, unknown>;

const wireTypes: Record<Scalar, number> = {
  string: WireType.Len,
  bytes: WireType.Len,
  bool: WireType.Varint,
  uint32: WireType.Varint,
  int32: WireType.Varint,
  uint64: WireType.Varint,
  int64: WireType.Varint,
  double: WireType.I64,
};

/** Makes a message type from its table. Types are checked by the generated declarations. */
export function message<In, Out>(typeName: string, fields: readonly Field[]): MessageType<In, Out> {
  const type: MessageType<In, Out> = {
    typeName,
    fields,
    encode(value) {
      const writer = new Writer();
      write(writer, fields, value as Fields, typeName);
      return writer.finish();
    },
    decode(bytes) {
      try {
        const target = blank(fields);
        read(new Reader(bytes), fieldsByNumber(type), target);
        return target as Out;
      } catch (e) {
        if (!(e instanceof RunvError)) throw e;
        throw new RunvError(Code.InvalidArgument, `${typeName}: ${e.message}`, { cause: e });
      }
    },
  };
  return type;
}

function blank(fields: readonly Field[]): Fields {
  const target: Fields = {};
  for (const [, name, type, rule] of fields) target[name] = defaultOf(type, rule);
  return target;
}

function defaultOf(type: Field[2], rule: Field[3]): unknown {
  if (rule === 'repeated') return [];
  if (rule === 'map') return {};
  if (rule !== undefined) return undefined;
  switch (type) {
    case 'string':
      return '';
    case 'bytes':
      return new Uint8Array();
    case 'bool':
      return false;
    case 'uint32':
    case 'int32':
    case 'double':
      return 0;
    case 'uint64':
    case 'int64':
      return 0n;
    default:
      return undefined;
  }
}

function write(writer: Writer, fields: readonly Field[], value: Fields, typeName: string): void {
  for (const [number, name, type, rule] of fields) {
    const fieldValue = value[name];
    if (fieldValue === undefined || fieldValue === null) continue;
    try {
      if (rule === 'repeated') {
        for (const element of fieldValue as readonly unknown[])
          writeField(writer, number, type, element);
      } else if (rule === 'map') {
        for (const entry of Object.entries(fieldValue as Record<string, string>))
          writeEntry(writer, number, entry);
      } else if (rule !== undefined || !isZero(fieldValue)) {
        writeField(writer, number, type, fieldValue);
      }
    } catch (e) {
      if (!(e instanceof RangeError || e instanceof TypeError)) throw e;
      throw new RangeError(`${typeName}.${name}: ${e.message}`, { cause: e });
    }
  }
}

/** proto3: a field outside a oneof that has its default is not sent. */
function isZero(value: unknown): boolean {
  if (typeof value === 'number') return Object.is(value, 0);
  if (value instanceof Uint8Array) return value.length === 0;
  return value === '' || value === false || value === 0n;
}

function writeField(writer: Writer, number: number, type: Field[2], value: unknown): void {
  if (typeof type === 'string') {
    writer.tag(number, wireTypes[type]);
    writeScalar(writer, type, value);
  } else {
    const nested = new Writer();
    write(nested, type.fields, value as Fields, type.typeName);
    writer.tag(number, WireType.Len);
    writer.byteString(nested.finish());
  }
}

function writeEntry(writer: Writer, number: number, [key, value]: [string, string]): void {
  const entry = new Writer();
  writeField(entry, 1, 'string', key);
  writeField(entry, 2, 'string', value);
  writer.tag(number, WireType.Len);
  writer.byteString(entry.finish());
}

function writeScalar(writer: Writer, type: Scalar, value: unknown): void {
  switch (type) {
    case 'string':
      return writer.string(value as string);
    case 'bytes':
      return writer.byteString(value as Uint8Array);
    case 'bool':
      return writer.bool(value as boolean);
    case 'uint32':
      return writer.uint32(value as number);
    case 'int32':
      return writer.int32(value as number);
    case 'uint64':
      return writer.uint64(value as number | bigint);
    case 'int64':
      return writer.int64(value as number | bigint);
    case 'double':
      return writer.double(value as number);
  }
}

function readScalar(reader: Reader, type: Scalar): unknown {
  switch (type) {
    case 'string':
      return reader.string();
    case 'bytes':
      return reader.byteString();
    case 'bool':
      return reader.bool();
    case 'uint32':
      return reader.uint32();
    case 'int32':
      return reader.int32();
    case 'uint64':
      return reader.uint64();
    case 'int64':
      return reader.int64();
    case 'double':
      return reader.double();
  }
}

/** The tables are never recursive (generate.ts refuses that), so neither can the input make this. */
function read(reader: Reader, byNumber: ReadonlyMap<number, Field>, target: Fields): void {
  while (!reader.done) {
    const tag = reader.tag();
    const field = byNumber.get(tag >>> 3);
    // a known field of another wire type is an unknown field, as in other implementations
    if (field === undefined || (tag & 7) !== wireTypeOf(field)) reader.skip(tag);
    else readField(reader, field, target);
  }
}

function wireTypeOf([, , type, rule]: Field): number {
  return typeof type === 'string' && rule !== 'map' ? wireTypes[type] : WireType.Len;
}

function readField(reader: Reader, [, name, type, rule]: Field, target: Fields): void {
  if (rule === 'map') {
    reader.countElement();
    readEntry(reader, target[name] as Fields);
  } else if (rule === 'repeated') {
    reader.countElement();
    (target[name] as unknown[]).push(readValue(reader, type, undefined));
  } else {
    const value = readValue(reader, type, target[name]);
    if (rule !== undefined) for (const other of rule) target[other] = undefined;
    target[name] = value;
  }
}

/** A message that occurs twice is merged with what was read before, as the encoding demands. */
function readValue(reader: Reader, type: Field[2], before: unknown): unknown {
  if (typeof type === 'string') return readScalar(reader, type);
  const target = (before as Fields | undefined) ?? blank(type.fields);
  reader.nested(() => read(reader, fieldsByNumber(type), target));
  return target;
}

// filled at first use: most processes decode only a few of the types they load
const indexes = new WeakMap<MessageType<never, unknown>, ReadonlyMap<number, Field>>();

function fieldsByNumber(type: MessageType<never, unknown>): ReadonlyMap<number, Field> {
  let index = indexes.get(type);
  if (!index) indexes.set(type, (index = new Map(type.fields.map((field) => [field[0], field]))));
  return index;
}

function readEntry(reader: Reader, target: Fields): void {
  const entry = blank(entryFields);
  reader.nested(() => read(reader, entryIndex, entry));
  // defined, not assigned: a key such as __proto__ is a key like any other
  Object.defineProperty(target, entry['key'] as string, {
    value: entry['value'],
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

const entryFields: readonly Field[] = [
  [1, 'key', 'string'],
  [2, 'value', 'string'],
];
const entryIndex = new Map(entryFields.map((field) => [field[0], field]));
