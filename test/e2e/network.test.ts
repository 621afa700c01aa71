import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cgroup } from '../../proto/messages.ts';
import { describe, must, until } from '../harness/command.ts';
import { ContainerdApi } from '../harness/containerd-api.ts';
import { idle } from '../harness/ctr.ts';
import { isRunv } from '../harness/environment.ts';
import { PodNetns } from '../harness/network.ts';
import { shimProcesses } from '../harness/runtime-processes.ts';
import { suite } from '../harness/suite.ts';

const s = suite();

/** What a container in the namespace could leave there. */
const look =
  'ls /sys/class/net; ip -4 -o addr; ip route; tc qdisc; tc filter show dev eth0 ingress';

test('a container has the interface, addresses and routes of its network namespace', async () => {
  await using net = await PodNetns.make();
  await net.inPod('ip link set eth0 mtu 1400; ip route add 10.99.0.0/16 via 10.88.0.1 metric 7');
  await net.inPod('ip route add blackhole 10.98.0.0/16');
  const mac = (await net.inPod('cat /sys/class/net/eth0/address')).trim();
  const found = await s.ctr.sh(
    'ip -o addr; ip route; ip -6 route; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu; ls /sys/class/net',
    { flags: net.flags },
  );
  assert.match(found, /eth0 +inet 10\.88\.0\.2\/24 brd 10\.88\.0\.255/);
  assert.match(found, /eth0 +inet6 fd88::2\/64/);
  assert.doesNotMatch(found, /tentative/);
  assert.match(found, /^default via 10\.88\.0\.1 dev eth0/m);
  assert.match(found, /^10\.88\.0\.0\/24 dev eth0 .*src 10\.88\.0\.2/m);
  assert.match(found, /^10\.99\.0\.0\/16 via 10\.88\.0\.1 dev eth0 .*metric 7/m);
  assert.match(found, /^blackhole 10\.98\.0\.0\/16/m);
  assert.match(found, /^default via fd88::1 dev eth0/m);
  assert.match(found, new RegExp(`^${mac}\n1400\neth0\nlo\n`, 'm'));
});

test('TCP, UDP, ping and large packets pass both ways', { timeout: 400_000 }, async () => {
  await using net = await PodNetns.make();
  const server = 'nc -lp 7 -e cat & nc -lp 8 -e cat & sleep 100000; :';
  const id = await s.ctr.runDetached({ argv: ['sh', '-c', server], flags: net.flags });
  const size = 3_000_000;
  // reads while it writes: one that does not would stand still with all buffers full
  const echoed = async (host: string, port: number) => {
    const script = `let n = 0; require("net").connect(${port}, "${host}", function () { this.end(Buffer.alloc(${size})) }).on("data", (d) => (n += d.length)).on("close", () => console.log(n))`;
    return Number(await must('ip', ['netns', 'exec', net.world, process.execPath, '-e', script]));
  };
  const listens = async () => (await s.ctr.exec(id, ['netstat', '-ltn'])).stdout.includes(':8 ');
  await until('the servers listen', listens);
  assert.equal(await echoed('10.88.0.2', 7), size);
  assert.equal(await echoed('fd88::2', 8), size);
  // UDP: a name server that answers each question with itself
  const answer = 'm[2] |= 128; s.send(m, from.port, from.address, () => process.exit())';
  const udp = `const s = require("dgram").createSocket("udp4").bind(53, () => console.log("ready")).on("message", (m, from) => { ${answer} })`;
  await using server53 = net.startInWorld(process.execPath, ['-e', udp]);
  await server53.untilStdout(/ready/);
  const lookup = await s.ctr.exec(id, ['nslookup', 'runv.test', '10.88.0.1']);
  assert.doesNotMatch(lookup.stdout + lookup.stderr, /timed out/, describe(lookup));
  assert.equal((await server53.outcome).code, 0);
  for (const to of ['10.88.0.1', 'fd88::1']) {
    const ping = await s.ctr.exec(id, ['ping', '-c', '2', '-s', '4000', to]);
    assert.match(ping.stdout, / 0% packet loss/, describe(ping));
  }
  // the world waits, the container comes
  const count = 'let n = 0; s.on("data", (d) => (n += d.length)).on("end", () => s.end(String(n)))';
  const tcp = `require("net").createServer({ allowHalfOpen: true }, (s) => { ${count}; s.on("close", () => process.exit()) }).listen(10, () => console.log("ready"))`;
  await using sink = net.startInWorld(process.execPath, ['-e', tcp]);
  await sink.untilStdout(/ready/);
  const send = `head -c ${size} /dev/zero | nc 10.88.0.1 10`;
  assert.equal((await s.ctr.exec(id, ['sh', '-c', send])).stdout, String(size));
  const metrics = cgroup.Metrics.decode(await new ContainerdApi(s.ctr).taskMetrics(id));
  const [{ name, rxBytes, txBytes }, ...others] = metrics.network as [cgroup.NetworkStat];
  assert.deepEqual([name, others], ['eth0', []]);
  assert.ok(rxBytes > 2n * BigInt(size) && txBytes > 3n * BigInt(size), `${rxBytes} ${txBytes}`);
  await s.ctr.remove(id);
});

test('who connects to a loopback address of the namespace reaches the container', async () => {
  await using net = await PodNetns.make();
  await net.inPod('ip link set lo up');
  const server = 'while :; do nc -lp 8080 -e wc -c; done';
  const id = await s.ctr.runDetached({ argv: ['sh', '-c', server], flags: net.flags });
  const size = 1_000_000;
  for (const to of ['127.0.0.1', '::1']) {
    const listens = async () =>
      (await s.ctr.exec(id, ['netstat', '-ltn'])).stdout.includes(':8080 ');
    await until('the server listens', listens);
    // half of the connection is closed while the answer comes
    const script = `require("net").connect({ host: "${to}", port: 8080, allowHalfOpen: true }, function () { this.end(Buffer.alloc(${size})) }).pipe(process.stdout)`;
    const found = await must('ip', ['netns', 'exec', net.pod, process.execPath, '-e', script]);
    assert.equal(found, `${size}\n`);
  }
  const refused =
    'require("net").connect(8081, "127.0.0.1").on("error", (e) => console.log(e.code)).resume()';
  const nobody = await must('ip', ['netns', 'exec', net.pod, process.execPath, '-e', refused]);
  assert.equal(nobody, 'ECONNRESET\n');
  await s.ctr.remove(id);
});

test('a container has as many interfaces as its namespace, by their names', async () => {
  await using net = await PodNetns.make();
  await net.addInterface('net1', 1);
  await net.addInterface('data', 2);
  // what modules leave in each namespace is none of the pod's
  await net.inPod('ip link add idle0 type veth peer name idle1');
  const script =
    'ip -o link; ip -o -4 addr show; for n in 0 1 2; do ping -c 1 -W 5 10.88.$n.1 >/dev/null && echo $n; done';
  const found = await s.ctr.sh(script, { flags: net.flags });
  for (const line of [
    /eth0 +inet 10\.88\.0\.2/,
    /net1 +inet 10\.88\.1\.2/,
    /data +inet 10\.88\.2\.2/,
  ]) {
    assert.match(found, line);
  }
  assert.match(found, /0\n1\n2\n$/);
  assert.doesNotMatch(found, /idle0/);
});

test('what changes in the namespace changes in the container', async () => {
  await using net = await PodNetns.make();
  const id = await s.ctr.runDetached({ argv: idle, flags: net.flags });
  const seen = async (command: string) => (await s.ctr.exec(id, ['sh', '-c', command])).stdout;
  await net.inPod('ip addr add 10.88.0.77/24 dev eth0; ip link set eth0 mtu 1300');
  await net.inPod('ip route del default; ip route add 10.97.0.0/16 via 10.88.0.1');
  await until('the container has it', async () => {
    const found = await seen('ip -o addr; cat /sys/class/net/eth0/mtu; ip route');
    return (
      found.includes('10.88.0.77/24') &&
      /^1300$/m.test(found) &&
      found.includes('10.97.0.0/16 via') &&
      !found.includes('default')
    );
  });
  await net.inPod('ip addr del 10.88.0.77/24 dev eth0');
  const gone = async () => !(await seen('ip -o addr')).includes('10.88.0.77');
  await until('the container has lost it', gone);
  const noArp = async () => (Number(await seen('cat /sys/class/net/eth0/flags')) & 0x80) !== 0;
  await net.inPod('ip link set eth0 arp off');
  await until('the container resolves no addresses', noArp);
  await net.inPod('ip link set eth0 arp on');
  await until('it does again', async () => !(await noArp()));
  assert.match(await seen('ping -c 1 -W 5 10.88.0.1'), / 0% packet loss/);
  await s.ctr.remove(id);
});

test("neighbours that are set by hand are the container's, until they are removed", async () => {
  await using net = await PodNetns.make();
  const mac = '02:00:00:00:00:07';
  await net.inPod(`ip neigh add 10.88.0.7 lladdr ${mac} dev eth0 nud permanent`);
  const id = await s.ctr.runDetached({ argv: idle, flags: net.flags });
  const seen = async () => (await s.ctr.exec(id, ['ip', 'neigh'])).stdout;
  assert.match(await seen(), /^10\.88\.0\.7 dev eth0 lladdr 02:00:00:00:00:07 .*PERMANENT/m);
  await net.inPod(`ip neigh del 10.88.0.7 dev eth0; ip neigh add fd88::7 lladdr ${mac} dev eth0`);
  await until('the container has the other', async () => {
    const found = await seen();
    return found.includes(`fd88::7 dev eth0 lladdr ${mac}`) && !found.includes('10.88.0.7');
  });
  await s.ctr.remove(id);
});

test('interfaces that come later, go and come back are those of the container', async () => {
  await using net = await PodNetns.make();
  const flags = [...net.flags, '--annotation', 'io.runv.interfaces=3'];
  const id = await s.ctr.runDetached({ argv: idle, flags });
  const seen = async (command: string) => (await s.ctr.exec(id, ['sh', '-c', command])).stdout;
  const links = async () => (await seen('ls /sys/class/net')).trim().split('\n').join(' ');
  const untilLinks = async (names: string) => {
    await until(`the container has ${names}`, async () => (await links()) === names);
  };
  const untilReached = async (n: number) => {
    const ping = `ping -c 1 -W 1 10.88.${n}.1; ping -c 1 -W 1 fd88:${n}::1; :`;
    const both = / 0% packet loss[^]* 0% packet loss/;
    await until(`10.88.${n}.1 answers`, async () => both.test(await seen(ping)));
  };
  assert.equal(await links(), 'eth0 lo');
  await net.addInterface('net1', 1);
  await untilReached(1);
  await net.addInterface('net2', 2);
  await untilReached(2);
  // the one that stays keeps its device and what is on it
  await net.inPod('ip link del net1');
  await untilLinks('eth0 lo net2');
  await untilReached(2);
  await net.addInterface('net1', 1);
  await untilReached(1);
  await untilReached(2);
  // more than were asked for: the others go on
  await net.addInterface('net3', 3);
  await net.inPod('ip link set net1 down');
  const state = 'cat /sys/class/net/net1/operstate';
  await until('net1 is down', async () => (await seen(state)) === 'down\n');
  assert.equal(await links(), 'eth0 lo net1 net2');
  if (isRunv) assert.match(await s.containerd.log(), /"interface":"net3".*not connected/);
  await net.inPod('ip link del net2; ip link set net1 up; ip addr add fd88:1::2/64 dev net1 nodad');
  await untilReached(1);
  await s.ctr.remove(id);
});

test('a number of interfaces that no VM has is refused', { skip: !isRunv && 'runv' }, async () => {
  const flags = ['--annotation', 'io.runv.interfaces=9'];
  const outcome = await s.ctr.run({ argv: ['true'], flags });
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /io\.runv\.interfaces must be a whole number from 1 to 8/);
});

test('the namespace is as before when the container has gone', async () => {
  await using net = await PodNetns.make();
  const before = await net.inPod(look);
  await s.ctr.sh('ping -c 1 -W 5 10.88.0.1', { flags: net.flags });
  assert.equal(await net.inPod(look), before);
  // a second one in it works as the first did
  await s.ctr.sh('ping -c 1 -W 5 10.88.0.1', { flags: net.flags });
  assert.equal(await net.inPod(look), before);
});

test(
  'the namespace is as before when the shim was killed',
  { skip: !isRunv && 'runv' },
  async () => {
    await using net = await PodNetns.make();
    const before = await net.inPod(look);
    const id = await s.ctr.runDetached({ argv: idle, flags: ['--null-io', ...net.flags] });
    for (const { pid, argv } of shimProcesses(s.containerd, id)) {
      if (argv.includes('serve')) process.kill(pid, 'SIGKILL');
    }
    await until('it is as before', async () => (await net.inPod(look)) === before);
    await s.ctr.remove(id);
  },
);

test(
  'an interface that is down is an error that names it, and nothing is left',
  { skip: !isRunv && 'runv' },
  async () => {
    await using net = await PodNetns.make();
    await net.inPod('ip link set eth0 down');
    const outcome = await s.ctr.run({ argv: ['true'], flags: net.flags });
    assert.notEqual(outcome.code, 0);
    assert.match(outcome.stderr, /interface eth0 .* is down/, describe(outcome));
  },
);

test('a network namespace that is not there is an error that names it', async () => {
  const flags = ['--with-ns', 'network:/run/netns/runv-t-missing'];
  const outcome = await s.ctr.run({ argv: ['true'], flags });
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /runv-t-missing/, describe(outcome));
});
