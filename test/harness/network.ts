import { must, run, type Running, start } from './command.ts';

let made = 0;

/**
 * Two network namespaces joined by a veth pair, as a CNI plugin leaves a pod: the pod's with
 * interface eth0, addresses and default routes, and the world outside it. Nothing of it is in the
 * machine's own namespace.
 */
export class PodNetns implements AsyncDisposable {
  readonly pod: string;
  readonly world: string;

  private constructor(name: string) {
    this.pod = `${name}-pod`;
    this.world = `${name}-world`;
  }

  static async make(): Promise<PodNetns> {
    const self = new PodNetns(`runv-t-${process.pid}-${++made}`);
    for (const name of [self.pod, self.world]) await must('ip', ['netns', 'add', name]);
    await self.addInterface('eth0', 0);
    await self.inPod('ip route add default via 10.88.0.1; ip -6 route add default via fd88::1');
    return self;
  }

  /** Addresses 10.88.N.2/24 and fd88:N::2/64; the world has .1 and ::1 on an interface `world-N`. */
  async addInterface(name: string, n: number): Promise<void> {
    const v6 = n === 0 ? 'fd88::' : `fd88:${n}::`;
    await this.inWorld(
      [
        `ip link add world-${n} type veth peer name ${name} netns ${this.pod}`,
        `ip addr add 10.88.${n}.1/24 dev world-${n}`,
        `ip addr add ${v6}1/64 dev world-${n} nodad`,
        `ip link set world-${n} up`,
        'ip link set lo up',
      ].join('; '),
    );
    await this.inPod(
      [
        `ip addr add 10.88.${n}.2/24 dev ${name}`,
        `ip addr add ${v6}2/64 dev ${name} nodad`,
        `ip link set ${name} up`,
      ].join('; '),
    );
  }

  /** What makes a container of `ctr` join the pod's namespace. */
  get flags(): string[] {
    return ['--with-ns', `network:/run/netns/${this.pod}`];
  }

  async inPod(script: string): Promise<string> {
    return await inside(this.pod, script);
  }

  async inWorld(script: string): Promise<string> {
    return await inside(this.world, script);
  }

  /** A program in the world that goes on while the test does something else. */
  startInWorld(command: string, args: readonly string[]): Running {
    return start('ip', ['netns', 'exec', this.world, command, ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [this.pod, this.world]) await run('ip', ['netns', 'delete', name]);
  }
}

async function inside(name: string, script: string): Promise<string> {
  return await must('ip', ['netns', 'exec', name, 'sh', '-ec', script]);
}
