import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { must, until } from './command.ts';
import type { Message } from './cri-client.ts';
import type { CriSuite, Handler, Pod } from './cri.ts';
import { imageNames } from './image.ts';
import { echoClient, echoServer } from './traffic.ts';

/** What containerd tells of a pod's network. */
export interface NetworkStatus {
  /** The first is what kubelet shows. */
  readonly addresses: readonly string[];
  /** Path of the namespace on the host. */
  readonly namespace: string;
  /** The CNI result's interface eth0. */
  readonly mac: string;
}

export async function networkOf(s: CriSuite, pod: Pod): Promise<NetworkStatus> {
  const { status, info } = await s.client.call<{
    status: { network: { ip: string; additional_ips: { ip: string }[] } };
    info: Record<string, string>;
  }>('PodSandboxStatus', { pod_sandbox_id: pod.id, verbose: true });
  const { cniResult } = JSON.parse(info['info'] ?? '{}') as {
    cniResult: { Interfaces: { eth0: { Mac: string; Sandbox: string } } };
  };
  const { Mac: mac, Sandbox: namespace } = cniResult.Interfaces.eth0;
  const { ip, additional_ips: more } = status.network;
  return { addresses: [ip, ...more.map((each) => each.ip)], namespace, mac };
}

/** Runs `sh -c script` on the host in a network namespace. */
export async function inNamespace(path: string, script: string): Promise<string> {
  return await must('nsenter', [`--net=${path}`, 'sh', '-ec', script]);
}

/** A container of a pod that answers whoever talks to it, and can talk to others. */
export class Talker {
  readonly pod: Pod;
  readonly id: string;
  readonly network: NetworkStatus;

  private constructor(pod: Pod, id: string, network: NetworkStatus) {
    this.pod = pod;
    this.id = id;
    this.network = network;
  }

  static async run(s: CriSuite, more: Message = {}, handler?: Handler): Promise<Talker> {
    const pod = await s.runPod(more, handler);
    const id = await pod.run({
      image: imageNames.debian,
      command: ['perl', '-e', echoServer],
      mounts: [{ container_path: '/busybox', host_path: '/bin/busybox', readonly: true }],
    });
    await until('the server listens', async () => (await pod.logs(id)).includes('ready'));
    return new Talker(pod, id, await networkOf(s, pod));
  }

  async sh(script: string): Promise<string> {
    return await this.pod.execSh(this.id, script);
  }

  /** TCP, UDP and ICMP, all of it more than a packet holds. */
  async assertReaches(...others: readonly Talker[]): Promise<void> {
    const to = others.flatMap(({ network }) => network.addresses);
    const words = ['perl', '-e', echoClient, ...to.flatMap((address) => [address, '7'])];
    const { stdout, stderr } = await this.pod.exec(this.id, words, 120);
    assert.equal(stdout, to.map((address) => `${address} tcp same udp same\n`).join(''), stderr);
    for (const address of to) await this.assertPings(address);
  }

  async assertPings(address: string): Promise<void> {
    const ping = ['/busybox', 'ping', '-c', '1', '-W', '10', '-s', '20000', address];
    const { stdout, stderr } = await this.pod.exec(this.id, ping);
    assert.match(stdout, / 0% packet loss/, `${address}: ${stdout}${stderr}`);
  }
}

/** The network that the machine of a suite's containerd is in: a veth pair into another namespace. */
export class World implements AsyncDisposable {
  /** The end that is containerd's. */
  static readonly uplink = 'uplink0';
  /** The address of containerd's machine in it, and the world's own. */
  static readonly machine = '192.0.2.1';
  static readonly own = '192.0.2.2';
  readonly #name: string;

  private constructor(name: string) {
    this.#name = name;
  }

  static async make(s: CriSuite): Promise<World> {
    const self = new World(`runv-t-${process.pid}-${basename(s.containerd.dir).slice(-6)}`);
    await must('ip', ['netns', 'add', self.#name]);
    const script = [
      `ip link add ${World.uplink} type veth peer name eth0 netns ${self.#name}`,
      `ip addr add ${World.machine}/24 dev ${World.uplink}`,
      `ip link set ${World.uplink} up`,
    ];
    await inMachine(s, script.join('; '));
    await self.sh(`ip addr add ${World.own}/24 dev eth0; ip link set eth0 up; ip link set lo up`);
    return self;
  }

  async sh(script: string): Promise<string> {
    return await inNamespace(`/run/netns/${this.#name}`, script);
  }

  /** Talks to an echo server from outside: a line as `echoClient` has it. */
  async talk(host: string, port: number): Promise<string> {
    const words = ['perl', '-e', echoClient, host, String(port)];
    return await must('ip', ['netns', 'exec', this.#name, ...words]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await must('ip', ['netns', 'delete', this.#name]);
  }
}

/** Runs `sh -c script` in the network namespace that is the machine of the suite's containerd. */
export async function inMachine(s: CriSuite, script: string): Promise<string> {
  const [command = '', ...words] = s.containerd.inItsNetwork();
  return await must(command, [...words, 'sh', '-ec', script]);
}

/**
 * What pods leave on their machine when their network is not given back: interfaces, reserved
 * addresses, namespaces, rules, results kept for later. Each one is a line.
 */
export async function networkState(s: CriSuite): Promise<string[]> {
  const { dir } = s.containerd;
  const list = async (path: string) => await readdir(path, { recursive: true }).catch(() => []);
  const reserved = (await list(join(dir, 'cni-data'))).filter((path) => /\/[\d.:a-f]+$/.test(path));
  const namespaces = (await list(join(dir, 'state'))).filter((path) => /\/netns\/./.test(path));
  const links = await inMachine(s, "ip -o link | awk '{print $2}'");
  const rules = await inMachine(s, 'iptables-save 2>/dev/null || :');
  return [
    ...reserved,
    ...namespaces,
    ...links.trim().split('\n'),
    // the plugins' own chains stay
    ...rules.split('\n').filter((line) => /^-A CNI-DN|--dports? /.test(line)),
  ].toSorted();
}

/**
 * Puts a CNI plugin of the test's own beside the real ones: a script for Node with `config` (what
 * libcni gives it), `ip(WORDS)` and `inPod(WORDS)`. What it returns is printed; nothing is run on DEL.
 */
export async function writePlugin(s: CriSuite, name: string, body: string): Promise<void> {
  const text = `#!${process.execPath}
const { execFileSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { CNI_COMMAND: command, CNI_NETNS: netns, CNI_CONTAINERID: id } = process.env;
const config = JSON.parse(readFileSync(0, 'utf8'));
const ip = (words) => execFileSync('ip', words.split(' '));
const inPod = (words) => execFileSync('nsenter', ['--net=' + netns, ...words.split(' ')]);
if (command === 'ADD') console.log(JSON.stringify((() => { ${body} })()));
`;
  await writeFile(join(s.containerd.dir, 'cni-bin', name), text, { mode: 0o755 });
}
