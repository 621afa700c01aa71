import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  attribute,
  attributesOf,
  isLinkLocal,
  nested,
  parseAddress,
  parseLink,
  parseNeighbor,
  parseRoute,
} from './rtnetlink.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const bytes = (...values: number[]) => Buffer.from(values);

// Bodies below were recorded from a kernel, shortened to the attributes that are read.
describe('rtnetlink', () => {
  it('reads an interface', () => {
    const body = hex(
      '00000100 02000000 43100100 00000000 0900 0300 6574683000 000000 0800 0400 dc050000 0a00 0100 020000000005 0000',
    );
    assert.deepEqual(parseLink({ type: 16, body }), [
      {
        index: 2,
        name: 'eth0',
        hardware: 1,
        mac: hex('020000000005'),
        mtu: 1500,
        up: true,
        statistics: undefined,
        noArp: false,
      },
    ]);
  });

  it("reads an interface's statistics", () => {
    const counters = Buffer.alloc(8 * 24);
    [7, 8, 0x1_0000_0001, 9, 1, 2, 3, 4].forEach((value, n) =>
      counters.writeBigUInt64LE(BigInt(value), n * 8),
    );
    const body = Buffer.concat([
      hex('00000100 02000000 43100100 00000000'),
      attribute(23, counters),
    ]);
    assert.deepEqual(parseLink({ type: 16, body })[0]?.statistics, {
      rxPackets: 7n,
      txPackets: 8n,
      rxBytes: 0x1_0000_0001n,
      txBytes: 9n,
      rxErrors: 1n,
      txErrors: 2n,
      rxDropped: 3n,
      txDropped: 4n,
    });
  });

  it('reads addresses of both versions', () => {
    const v4 = hex(
      '0218800002000000 08000100 0a010203 08000200 0a010203 09000300 6574683000000000',
    );
    assert.deepEqual(parseAddress({ type: 20, body: v4 }), [
      { link: 2, address: bytes(10, 1, 2, 3), prefixLength: 24, scope: 0 },
    ]);
    const v6 = hex('0a40c0fd02000000 14000100 fe80000000000000000000fffe000005');
    const [found] = parseAddress({ type: 20, body: v6 });
    assert.equal(found?.prefixLength, 64);
    assert.ok(isLinkLocal(found.address));
  });

  it('reads routes of the main table and leaves out those of others', () => {
    const gateway = hex(
      '02000000fe03000100000000 08000f00fe000000 0800060005000000 080005000a010201 0800040002000000',
    );
    assert.deepEqual(parseRoute({ type: 24, body: gateway }), [
      {
        version: 4,
        destination: bytes(),
        prefixLength: 0,
        gateway: bytes(10, 1, 2, 1),
        link: 2,
        source: bytes(),
        metric: 5,
        scope: 0,
        type: 1,
        onLink: false,
      },
    ]);
    const onLink = hex(
      '02100000fe03000104000000 08000f00fe000000 080001000a090000 080005000ac80001 0800040002000000',
    );
    assert.equal(parseRoute({ type: 24, body: onLink })[0]?.onLink, true);
    const local = hex(
      '02200000ff02fe0200000000 08000f00ff000000 080001000a010203 080007000a010203 0800040002000000',
    );
    assert.deepEqual(parseRoute({ type: 24, body: local }), []);
  });

  it('takes the first of several next hops', () => {
    const v4 = hex(
      '02000000fe03000100000000 08000f00fe000000 0800060009000000 24000900 10000000 03000000 080005000a010201 10000000 02000000 080005000a010301',
    );
    const v6 = hex(
      '0a000000fe03000100000000 08000f00fe000000 3c000900 1c000000 03000000 14000500fd010000000000000000000000000002 1c000000 03000000 14000500fd010000000000000000000000000003',
    );
    for (const [body, gateway] of [
      [v4, bytes(10, 1, 2, 1)],
      [v6, hex('fd010000000000000000000000000002')],
    ] as const) {
      const [route] = parseRoute({ type: 24, body });
      assert.equal(route?.link, 3);
      assert.deepEqual(route?.gateway, gateway);
    }
  });

  it('reads permanent neighbours, not those that the kernel found', () => {
    const permanent = hex(
      '02000000 02000000 8000 00 01 08000100 0a010209 0a000200 020000000009 0000',
    );
    assert.deepEqual(parseNeighbor({ type: 28, body: permanent }), [
      { link: 2, address: bytes(10, 1, 2, 9), mac: hex('020000000009') },
    ]);
    const found = hex('0a000000 02000000 4000 00 05 0a000200 333300000016 0000');
    assert.deepEqual(parseNeighbor({ type: 28, body: found }), []);
  });

  it('pads attributes and reads back what it wrote', () => {
    assert.deepEqual(attribute(3, 'lo'), hex('0700 0300 6c6f00 00'));
    const inside = nested(2, attribute(4, 1500), attribute(1, hex('020000000005')));
    const outer = attributesOf(Buffer.concat([Buffer.alloc(16), inside]), 16);
    const found = attributesOf(outer.get(2) ?? Buffer.alloc(0), 0);
    assert.equal(found.get(4)?.readUInt32LE(), 1500);
    assert.deepEqual(found.get(1), hex('020000000005'));
  });

  it('stops at an attribute that is longer than the message', () => {
    assert.equal(attributesOf(hex('ff00 0100 00'), 0).size, 0);
  });
});
