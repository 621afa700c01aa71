import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Code, RunvError } from '../error.ts';
import { serve } from '../fixtures/serve-echo.ts';

suite('server, recorded bytes', () => {
  // 0a09 "test.Echo", 12xx method, 1axx payload of 0axx text
  const service = '0a09 746573742e4563686f';

  test('answers a unary request', async () => {
    const { peer } = serve();
    peer.sendHex(`00000018 00000001 01 00 ${service} 1204 4f6e6365 1a05 0a03 616263`);
    assert.equal(await peer.nextHex(), '00000007000000010200' + '12050a03414243');
  });

  test('answers with a status', async () => {
    const { peer } = serve({
      Once: () => {
        throw new RunvError(Code.NotFound, 'no');
      },
    });
    peer.sendHex(`00000011 00000001 01 00 ${service} 1204 4f6e6365`);
    assert.equal(await peer.nextHex(), '00000008000000010200' + '0a06080512026e6f');
  });

  test('streams down: data frames, then remote closed without data', async () => {
    const { peer } = serve();
    peer.sendHex(`00000017 00000003 01 01 ${service} 1204 446f776e 1a04 0a02 6869`);
    assert.equal(await peer.nextHex(), '00000003000000030300' + '0a0168');
    assert.equal(await peer.nextHex(), '00000003000000030300' + '0a0169');
    assert.equal(await peer.nextHex(), '00000000000000030305');
  });

  test('streams up: a request that stays open, data, remote closed; one response', async () => {
    const { peer } = serve();
    peer.sendHex(
      `0000000f 00000001 01 02 ${service} 1202 5570`,
      '00000003 00000001 03 00 0a0161',
      '00000000 00000001 03 00',
      '00000003 00000001 03 00 0a0162',
      '00000000 00000001 03 05',
    );
    assert.equal(await peer.nextHex(), '00000006000000010200' + '12040a026162');
  });

  test('streams both ways', async () => {
    const { peer } = serve();
    peer.sendHex(
      `00000011 00000001 01 02 ${service} 1204 426f7468`,
      '00000003 00000001 03 00 0a0161',
    );
    assert.equal(await peer.nextHex(), '00000005000000010300' + '0a033c613e');
    // the last data frame may carry a message too
    peer.sendHex('00000003 00000001 03 01 0a0162');
    assert.equal(await peer.nextHex(), '00000005000000010300' + '0a033c623e');
    assert.equal(await peer.nextHex(), '00000000000000010305');
  });

  test('takes timeout and metadata', async () => {
    const { peer, contexts } = serve();
    // 20 timeout_nano = 3600 s, 2a key/value: K=1, k=2, x=3
    const more = '2080c0e285e368 2a06 0a014b120131 2a06 0a016b120132 2a06 0a0178120133';
    peer.sendHex(`00000030 00000001 01 00 ${service} 1204 4f6e6365 ${more}`);
    assert.equal(await peer.nextHex(), '00000000000000010200');
    assert.deepEqual(Object.fromEntries(contexts[0]?.metadata ?? []), { k: ['1', '2'], x: ['3'] });
  });
});
