import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { run, until } from '../harness/command.ts';
import type { Message } from '../harness/cri-client.ts';
import { type CriSuite, eachVersion, usualVersions } from '../harness/cri.ts';
import {
  inMachine,
  inNamespace,
  networkOf,
  networkState,
  Talker,
  World,
  writePlugin,
} from '../harness/pod-network.ts';
import { multicastReceiver, multicastSender } from '../harness/traffic.ts';

/** A network that pods can have. */
interface Kind {
  readonly name: string;
  /** Default: its name. */
  readonly plugin?: string;
  readonly mtu: number;
  /** Its addresses are 10.N.0.0/24 and fd00:N::/64. */
  readonly subnet: number;
  readonly settings: Message;
  /**
   * `routed`: the machine is the pods' gateway and can publish their ports; without it the world is
   * the gateway. `multicast`: pods see each other's.
   */
  readonly has: readonly ('routed' | 'gateway' | 'multicast')[];
  /** What this machine lacks for it. */
  readonly missing?: string | undefined;
}

/** Whether the machine can make such an interface, and rules for ports. */
const succeeds = async (script: string): Promise<boolean> =>
  (await run('unshare', ['--net', 'sh', '-ec', script])).code === 0;
const canMake = async (kind: string): Promise<string | undefined> => {
  const script = `ip link add up0 type veth peer name up1; ip link add link up0 name sub0 type ${kind}`;
  return (await succeeds(script)) ? undefined : `${kind} in the kernel`;
};
const noIptables = (await succeeds('iptables -t nat -S; ip6tables -t nat -S'))
  ? undefined
  : 'iptables';

const uplink = { master: World.uplink };
const kinds: readonly Kind[] = [
  {
    name: 'bridge',
    mtu: 9000,
    subnet: 91,
    settings: { bridge: 'cni0', isGateway: true, hairpinMode: true },
    has: ['routed', 'gateway', 'multicast'],
  },
  { name: 'ptp', mtu: 1400, subnet: 92, settings: {}, has: ['routed', 'gateway'] },
  {
    name: 'macvlan',
    mtu: 1300,
    subnet: 93,
    settings: { ...uplink, mode: 'bridge' },
    has: ['gateway', 'multicast'],
    missing: await canMake('macvlan'),
  },
  {
    name: 'ipvlan',
    mtu: 1280,
    subnet: 94,
    settings: { ...uplink, mode: 'l2' },
    has: ['gateway', 'multicast'],
    missing: await canMake('ipvlan'),
  },
  {
    name: 'ipvlan l3',
    plugin: 'ipvlan',
    mtu: 1280,
    subnet: 96,
    settings: { ...uplink, mode: 'l3' },
    has: [],
    missing: await canMake('ipvlan'),
  },
];
const [bridge] = kinds as [Kind];

const gateways = ({ subnet: n }: Kind): [string, string] => [`10.${n}.0.1`, `fd00:${n}::1`];

function pluginsOf(s: CriSuite, kind: Kind): Message[] {
  const { name, plugin: type = name, subnet: n, settings, mtu, has } = kind;
  const [gateway] = gateways(kind);
  const ipam = {
    type: 'host-local',
    dataDir: join(s.containerd.dir, 'cni-data'),
    ranges: [[{ subnet: `10.${n}.0.0/24` }], [{ subnet: `fd00:${n}::/64` }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }, { dst: '198.51.100.0/24', gw: gateway }],
  };
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  const ports = has.includes('routed') && noIptables === undefined ? [portmap] : [];
  return [{ type, mtu, ipam, ...settings }, ...ports];
}

/** An interface as busybox shows it; what the kernel gives to each by itself is left out. */
const look = (name: string, busybox: string): string =>
  `cat /sys/class/net/${name}/address /sys/class/net/${name}/mtu;` +
  ` ${busybox} ip -o addr show ${name}; ${busybox} ip route; ${busybox} ip -6 route`;
const seen = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !/\bfe80::|\bff00::|runv-tap/.test(line))
    .map((line) =>
      line
        .replace(/^\d+: /, '')
        // of an address: how it was added
        .replace(/\\.*| noprefixroute| flags \d+/g, '')
        .trim(),
    )
    .toSorted();

async function assertSame(talker: Talker, name: string): Promise<string[]> {
  const inGuest = seen(await talker.sh(look(name, '/busybox')));
  const { namespace } = talker.network;
  // sysfs shows the namespace of whoever mounted it
  const there = `mount -t sysfs sysfs /sys; ${look(name, '/bin/busybox')}`;
  const words = ['unshare', '--mount', 'sh', '-ec', `'${there}'`];
  assert.deepEqual(inGuest, seen(await inNamespace(namespace, words.join(' '))));
  return inGuest;
}

eachVersion({ versions: ['1.6'], debian: true }, (s) => {
  let world: World;
  before(async () => {
    world = await World.make(s);
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });

  for (const kind of kinds) {
    describe(kind.name, () => {
      const { name, mtu, has, missing } = kind;
      const skip = missing ?? false;
      const port = 8000 + kind.subnet;
      let empty: string[] = [];
      let one: Talker;
      let two: Talker;
      let runc: Talker;

      before(async () => {
        if (skip !== false) return;
        const [v4, v6] = gateways(kind);
        if (!has.includes('routed')) {
          await world.sh(`ip addr add ${v4}/24 dev eth0; ip addr add ${v6}/64 dev eth0 nodad`);
        }
        await s.useNetwork(name.replace(' ', '-'), pluginsOf(s, kind));
        // a bridge stays
        await s.withPod(async () => {}, {}, 'runc');
        empty = await networkState(s);
        one = await Talker.run(s);
        const mappings = ['TCP', 'UDP'].map((protocol) => ({
          protocol,
          container_port: 7,
          host_port: port,
        }));
        two = await Talker.run(s, noIptables === undefined ? { port_mappings: mappings } : {});
        runc = await Talker.run(s, {}, 'runc');
      });
      after(async () => {
        if (skip !== false) return;
        await s.removeAllPods();
        assert.deepEqual(await networkState(s), empty);
      });

      test(`${name}: containers see what the CNI result says`, { skip }, async () => {
        for (const talker of [one, two]) {
          const { addresses, mac } = talker.network;
          assert.equal(addresses.length, 2);
          const found = await assertSame(talker, 'eth0');
          assert.ok(found.includes(mac) && found.includes(String(mtu)), found.join('\n'));
          const text = found.join('\n');
          for (const address of addresses) assert.ok(text.includes(` ${address}/`), text);
          for (const gateway of gateways(kind)) assert.ok(text.includes(`default via ${gateway}`));
          assert.match(text, /^198\.51\.100\.0\/24 via /m);
        }
      });

      test(
        `${name}: TCP, UDP and large packets pass between pods of runv and runc`,
        { skip },
        async () => {
          await one.assertReaches(two, runc);
          await two.assertReaches(one);
          await runc.assertReaches(one);
          const answering = has.includes('gateway') ? gateways(kind) : [];
          for (const gateway of answering) await one.assertPings(gateway);
        },
      );

      if (has.includes('multicast')) {
        test(`${name}: multicast reaches who has joined the group`, { skip }, async () => {
          let isOver = false;
          const joined = one.pod
            .exec(one.id, ['perl', '-e', multicastReceiver])
            .finally(() => (isOver = true));
          await until('the datagram has come', async () => {
            await runc.pod.exec(runc.id, ['perl', '-e', multicastSender]);
            return isOver;
          });
          assert.equal((await joined).stdout, 'all');
        });
      }

      if (!has.includes('routed')) return;
      test(`${name}: a published port reaches the pod`, { skip: noIptables ?? false }, async () => {
        const { machine } = World;
        assert.equal(await world.talk(machine, port), `${machine} tcp same udp same\n`);
      });
    });
  }

  describe('what a plugin does', () => {
    let empty: string[] = [];
    let steady: Talker;
    before(async () => {
      await s.useNetwork('steady', pluginsOf(s, bridge));
      steady = await Talker.run(s);
      empty = await networkState(s);
    });
    after(async () => {
      await s.removeAllPods();
    });

    /** Pods fail with it; nothing stays of them, and the pod that was there does not notice. */
    const assertRefused = async (plugins: readonly Message[], message: RegExp) => {
      await s.useNetwork(`refused${(refusals += 1)}`, plugins);
      await assert.rejects(s.runPod(), message);
      await s.removeAllPods((id) => id !== steady.pod.id);
      await until('nothing is left', async () => {
        return JSON.stringify(await networkState(s)) === JSON.stringify(empty);
      });
      for (const gateway of gateways(bridge)) await steady.assertPings(gateway);
    };
    let refusals = 0;

    test('an interface that is down is an error that names it', async () => {
      await writePlugin(s, 'down', 'inPod("ip link set eth0 down"); return config.prevResult;');
      const plugins = [...pluginsOf(s, bridge), { type: 'down' }];
      await assertRefused(plugins, /interface eth0 of the pod's network namespace is down/);
    });

    test('a CNI result with nothing in it is an error', async () => {
      await writePlugin(s, 'nothing', 'return { cniVersion: config.cniVersion };');
      await assertRefused([{ type: 'nothing' }], /network info for sandbox/);
    });

    test('more interfaces than a VM can have are an error that tells how many', async () => {
      const body = `for (let n = 0; n < 9; n++) {
        inPod("ip link add more" + n + " up type veth peer name less" + n);
        inPod("ip link set less" + n + " up");
      } return config.prevResult;`;
      await writePlugin(s, 'many', body);
      const plugins = [...pluginsOf(s, bridge), { type: 'many' }];
      await assertRefused(plugins, /has 19 interfaces, and a VM can have 16/);
    });

    test('a pod has all interfaces that a list of plugins makes', async () => {
      const second = `
        const peer = "second" + id.slice(0, 8);
        ip("link add " + peer + " mtu 1350 up type veth peer name net1 netns " + netns);
        ip("addr add 10.95.0.1/24 dev " + peer);
        inPod("ip link set net1 address 02:00:00:00:00:95 mtu 1350 up");
        inPod("ip addr add 10.95.0.2/24 brd + dev net1");
        inPod("ip -6 addr add fd00:95::2/64 dev net1 nodad");
        inPod("ip route add 203.0.113.0/24 via 10.95.0.1");
        return config.prevResult;`;
      await writePlugin(s, 'second', second);
      await s.useNetwork('second', [...pluginsOf(s, bridge), { type: 'second' }]);
      const talker = await Talker.run(s);
      try {
        await assertSame(talker, 'eth0');
        const found = (await assertSame(talker, 'net1')).join('\n');
        const lines = [
          /^02:00:00:00:00:95$/m,
          /^1350$/m,
          /net1 +inet 10\.95\.0\.2\/24/,
          /net1 +inet6 fd00:95::2\/64/,
          /^203\.0\.113\.0\/24 via 10\.95\.0\.1 dev net1/m,
        ];
        for (const line of lines) assert.match(found, line);
        await talker.assertPings('10.95.0.1');
        await talker.assertReaches(steady);
      } finally {
        await s.stopPod(talker.pod.id);
        await s.removePod(talker.pod.id);
      }
      assert.deepEqual(await networkState(s), empty);
    });
  });
});

eachVersion({ versions: usualVersions }, (s) => {
  test('a pod gets an interface while it runs, loses it, and gets it back', async () => {
    const annotations = { 'io.runv.interfaces': '2' };
    await s.withPod(
      async (pod) => {
        const id = await pod.run();
        const links = async () => (await pod.execSh(id, 'ls /sys/class/net')).split('\n').join(' ');
        assert.equal(await links(), 'eth0 lo ');
        const { namespace } = await networkOf(s, pod);
        for (let n = 1; n <= 2; n += 1) {
          await inMachine(s, `ip link add later up type veth peer name net1 netns ${namespace}`);
          await inMachine(s, `ip addr add 10.97.0.1/24 dev later`);
          await inNamespace(namespace, `ip addr add 10.97.0.2/24 dev net1; ip link set net1 up`);
          const ping = ['ping', '-c', '1', '-W', '1', '10.97.0.1'];
          await until('it is connected', async () => (await pod.exec(id, ping)).code === 0);
          assert.equal(await links(), 'eth0 lo net1 ');
          await inNamespace(namespace, 'ip link del net1');
          await until('it has gone', async () => (await links()) === 'eth0 lo ');
        }
      },
      { annotations },
    );
  });
});
