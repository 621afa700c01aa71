import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import protobuf from 'protobufjs';
import { isAny, packAny, packJson, unpackAny } from './any.ts';
import { loadDefinitions } from './definitions.ts';
import { Code, RunvError } from './error.ts';
import { random } from './fixtures/random.ts';
import type { MessageType } from './message.ts';
import * as messages from './messages.ts';
import * as services from './services.ts';
import type { Service } from './ttrpc/index.ts';
import {
  dateFromTimestamp,
  nsFromTimestamp,
  timestampFromDate,
  timestampFromNs,
} from './timestamp.ts';

const { agent, cgroup, events, google, runc, task } = messages;
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const malformed = (e: unknown): boolean =>
  e instanceof RunvError && e.code === Code.InvalidArgument;

suite('messages', () => {
  test('are encoded field by field in order of the definition', () => {
    const exit = { containerId: 'c1', id: 'c1', pid: 300, exitStatus: 137 };
    const exitedAt = { seconds: 1n, nanos: 2 };
    assert.equal(
      toHex(events.TaskExit.encode({ ...exit, exitedAt })),
      '0a026331 12026331 18ac02 208901 2a0408011002'.replaceAll(' ', ''),
    );
  });

  test('default values take no bytes and come back', () => {
    const encoded = task.StateResponse.encode({
      id: '',
      pid: 0,
      terminal: false,
      exitedAt: undefined,
    });
    assert.equal(encoded.length, 0);
    assert.deepEqual(task.StateResponse.decode(encoded), {
      id: '',
      bundle: '',
      pid: 0,
      status: 0,
      stdin: '',
      stdout: '',
      stderr: '',
      terminal: false,
      exitStatus: 0,
      exitedAt: undefined,
      execId: '',
    });
  });

  test('an empty message that is set differs from one that is not', () => {
    assert.deepEqual(agent.Event.decode(hex('1200')), {
      exit: undefined,
      oom: { containerId: '' },
    });
    assert.equal(toHex(agent.Event.encode({ oom: {} })), '1200');
  });

  test('a oneof keeps the member that came last, even when it has its default', () => {
    assert.deepEqual(agent.Volume.decode(hex('1200 1a00')).disk, undefined);
    assert.equal(agent.Volume.decode(hex('1200 1a00')).sharePath, '');
    assert.equal(agent.Volume.decode(hex('1a0161 1200')).sharePath, undefined);
    assert.equal(toHex(agent.Volume.encode({ sharePath: '' })), '1a00');
  });

  test('a message that occurs twice is merged, a scalar replaced', () => {
    const { exit } = agent.Event.decode(hex('0a03 0a0161 0a05 1801 0a0162'));
    assert.equal(exit?.containerId, 'b');
    assert.equal(exit?.pid, 1);
  });

  test('unknown fields, and known ones of another wire type, are dropped', () => {
    const decoded = runc.ProcessDetails.decode(hex('0801 0a0178 9a0603616263 f50601020304'));
    assert.deepEqual(decoded, { execId: 'x' });
  });

  test('a map key like __proto__ is a key like any other', () => {
    const annotations = Object.fromEntries([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    const decoded = task.UpdateTaskRequest.decode(task.UpdateTaskRequest.encode({ annotations }));
    assert.deepEqual(Object.entries(decoded.annotations), Object.entries(annotations));
    assert.equal(Object.getPrototypeOf(decoded.annotations), Object.prototype);
  });

  test('decoded bytes are a copy', () => {
    const source = hex('1203 010203');
    const { value } = google.Any.decode(source);
    source.fill(0);
    assert.deepEqual(value, new Uint8Array([1, 2, 3]));
  });

  test('64-bit numbers are exact', () => {
    const memory = { usage: 2n ** 64n - 1n, usageLimit: 2 ** 53 };
    const decoded = cgroup.Metrics.decode(cgroup.Metrics.encode({ memory }));
    assert.equal(decoded.memory?.usage, 2n ** 64n - 1n);
    assert.equal(decoded.memory?.usageLimit, 2n ** 53n);
  });

  test('a number that does not fit names its field', () => {
    assert.throws(() => task.StartResponse.encode({ pid: -1 }), {
      name: 'RangeError',
      message: "containerd.task.v2.StartResponse.pid: -1 does not fit the field's type",
    });
  });

  test('malformed bytes name the message', () => {
    assert.throws(
      () => task.StartRequest.decode(hex('0a05 61')),
      (e) => malformed(e) && (e as Error).message.startsWith('containerd.task.v2.StartRequest: '),
    );
  });

  test('a guest cannot make millions of objects out of a few megabytes', () => {
    const bytes = Buffer.alloc(4 << 20);
    for (let i = 0; i < bytes.length; i += 2) bytes[i] = 0x0a;
    assert.throws(() => agent.PidsResponse.decode(bytes), malformed);
  });
});

suite('messages against protobufjs', () => {
  const root = loadDefinitions(import.meta.dirname);
  const codecs = Object.values(messages).flatMap((module) =>
    Object.values(module as unknown as Record<string, unknown>).filter(
      (value): value is MessageType<unknown, unknown> =>
        typeof value === 'object' && value !== null && 'typeName' in value,
    ),
  );

  test('every message of the definitions has a codec', () => {
    const defined: string[] = [];
    const visit = (o: protobuf.ReflectionObject): void => {
      if (o instanceof protobuf.Type) defined.push(o.fullName.slice(1));
      if (o instanceof protobuf.Namespace) o.nestedArray.forEach(visit);
    };
    visit(root);
    const ours = codecs.map((codec) => codec.typeName);
    // ttrpc's own messages are the library's business
    assert.deepEqual(ours.sort(), defined.filter((name) => !name.startsWith('ttrpc.')).sort());
  });

  for (const codec of codecs) {
    test(`${codec.typeName} is read and written alike`, () => {
      const type = root.lookupType(codec.typeName);
      const next = random(codec.typeName.length);
      for (let round = 0; round < 20; round++) {
        const theirs = type.encode(sample(type, next)).finish();
        const decoded = codec.decode(theirs);
        const ours = codec.encode(decoded);
        assert.deepEqual(type.decode(ours), type.decode(theirs));
        assert.deepEqual(codec.decode(ours), decoded);
      }
    });
  }

  test('random bytes are decoded or refused, nothing else', () => {
    const next = random(4711);
    let refused = 0;
    for (let round = 0; round < 20_000; round++) {
      const codec = codecs[next(codecs.length)];
      const bytes = Uint8Array.from({ length: next(40) }, () =>
        next(4) === 0 ? next(256) : next(32),
      );
      try {
        codec?.decode(bytes);
      } catch (e) {
        assert.ok(malformed(e), String(e));
        refused++;
      }
    }
    assert.ok(refused > 1000, `only ${refused} refused: the bytes are too tame`);
  });
});

/** A message with about half of its fields set. */
function sample(type: protobuf.Type, next: (below: number) => number): protobuf.Message {
  const properties: Record<string, unknown> = {};
  const used = new Set<protobuf.OneOf>();
  for (const field of type.fieldsArray) {
    if (next(2) === 0 || (field.partOf && used.has(field.partOf))) continue;
    if (field.partOf) used.add(field.partOf);
    const one = (): unknown => sampleValue(field, next);
    if (field instanceof protobuf.MapField) properties[field.name] = { [`k${next(9)}`]: one() };
    else properties[field.name] = field.repeated ? [one(), one()] : one();
  }
  return type.create(properties);
}

function sampleValue(field: protobuf.Field, next: (below: number) => number): unknown {
  const wide = (unsigned: boolean) => ({ low: next(2 ** 32), high: next(2 ** 32), unsigned });
  if (field.resolvedType instanceof protobuf.Type) return sample(field.resolvedType, next);
  if (field.resolvedType instanceof protobuf.Enum) return next(6);
  switch (field.type) {
    case 'string':
      return ['', 'a', 'größe', '容器', '🐳'][next(5)];
    case 'bytes':
      return Uint8Array.from({ length: next(5) }, () => next(256));
    case 'bool':
      return next(2) === 1;
    case 'uint32':
      return next(2 ** 32);
    case 'int32':
      return next(2 ** 32) - 2 ** 31;
    case 'uint64':
      return wide(true);
    case 'int64':
      return wide(false);
    case 'double':
      return (next(2 ** 32) - 2 ** 31) / 1024;
    default:
      throw new Error(`no sample for ${field.type}`);
  }
}

suite('services', () => {
  test('have the methods, types and streams of the definitions', () => {
    const root = loadDefinitions(import.meta.dirname);
    const all: readonly Service[] = Object.values(services);
    for (const service of all) {
      const defined = root.lookupService(service.name).methodsArray.map((method) => {
        method.resolve();
        const { responseStream: server, requestStream: client } = method;
        const kind = client
          ? server
            ? 'bidi'
            : 'clientStream'
          : server
            ? 'serverStream'
            : 'unary';
        const types = [method.resolvedRequestType, method.resolvedResponseType];
        return [method.name, kind, ...types.map((type) => type?.fullName.slice(1))];
      });
      const ours = Object.entries(service.methods).map(([name, { kind, request, response }]) => [
        name,
        kind,
        request.typeName,
        response.typeName,
      ]);
      assert.deepEqual(ours, defined, service.name);
    }
  });
});

suite('Any', () => {
  test('carries a message under its full name', () => {
    const any = packAny(events.TaskOOM, { containerId: 'c' });
    assert.equal(any.typeUrl, 'containerd.events.TaskOOM');
    assert.deepEqual(unpackAny(events.TaskOOM, any), { containerId: 'c' });
  });

  test('is read with a host in front of the name too', () => {
    const any = packAny(events.TaskOOM, { containerId: 'c' });
    const prefixed = { ...any, typeUrl: `types.example.com/${any.typeUrl}` };
    assert.deepEqual(unpackAny(events.TaskOOM, prefixed), { containerId: 'c' });
  });

  test('of another type, or none, is refused', () => {
    const any = packAny(events.TaskOOM, { containerId: 'c' });
    assert.equal(isAny(any, events.TaskPaused), false);
    assert.throws(() => unpackAny(events.TaskPaused, any), malformed);
    assert.throws(() => unpackAny(events.TaskPaused, undefined), malformed);
  });

  test('carries JSON under the name it is given', () => {
    const any = packJson('types.containerd.io/opencontainers/runtime-spec/1/Process', { cwd: '/' });
    assert.equal(Buffer.from(any.value).toString(), '{"cwd":"/"}');
  });
});

suite('Timestamp', () => {
  const cases: readonly (readonly [bigint, { seconds: bigint; nanos: number }])[] = [
    [0n, { seconds: 0n, nanos: 0 }],
    [1_700_000_000_123_456_789n, { seconds: 1_700_000_000n, nanos: 123_456_789 }],
    [-1n, { seconds: -1n, nanos: 999_999_999 }],
    [-1_000_000_000n, { seconds: -1n, nanos: 0 }],
  ];
  for (const [ns, timestamp] of cases) {
    test(`${ns} ns is ${timestamp.seconds} s and ${timestamp.nanos} ns`, () => {
      assert.deepEqual(timestampFromNs(ns), timestamp);
      assert.equal(nsFromTimestamp(timestamp), ns);
    });
  }

  test('goes to a Date and back', () => {
    const date = new Date('2024-02-29T12:34:56.789Z');
    assert.deepEqual(dateFromTimestamp(timestampFromDate(date)), date);
    assert.deepEqual(dateFromTimestamp(undefined), new Date(0));
  });
});
