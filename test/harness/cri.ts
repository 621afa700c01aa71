import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, type TestContext } from 'node:test';
import { must, type Running, start, until } from './command.ts';
import { PrivateContainerd, type RunvKeys } from './containerd.ts';
import { CriClient, type Message } from './cri-client.ts';
import { checkout } from './environment.ts';
import { busyboxImage, debianImage, imageNames, pauseImage } from './image.ts';
import { assertNothingLeft, hostState, type HostState } from './leaks.ts';
import { excerpt } from './suite.ts';

interface Version {
  /** The Debian suite that has it; default: the machine's own. */
  readonly suite?: string;
  /** Lines for the runtime in CRI's configuration. */
  readonly runtime?: string;
  readonly runv?: RunvKeys;
}

/** The containerd versions that pods are tested on, and the ways in which they call a shim. */
export const criVersions = {
  '1.6': {},
  '1.7': { suite: 'trixie' },
  '2.1': { suite: 'sid' },
  '1.7, gRPC': { suite: 'trixie', runv: { containerd_protocol: 'grpc' } },
  '2.1, sandbox API': { suite: 'sid', runtime: 'sandboxer = "shim"' },
} as const satisfies Record<string, Version>;
export type CriVersion = keyof typeof criVersions;
/** Of them, each version of containerd in the way it calls a shim by itself. */
export const usualVersions = ['1.6', '1.7', '2.1'] as const satisfies CriVersion[];

/** RUNV_TEST_CONTAINERD narrows the tests of pods to some versions: `1.7;2.1, gRPC`. */
const chosen = process.env['RUNV_TEST_CONTAINERD']?.split(';') ?? Object.keys(criVersions);

/** The runtime of a pod; `runc` compares. */
export type Handler = 'runv' | 'runc';

export interface ContainerStatus {
  readonly id: string;
  readonly state: string;
  readonly exit_code: number;
  readonly reason: string;
  readonly message: string;
  readonly log_path: string;
}

/** What a test says of a container; `config` is merged over CRI's ContainerConfig. */
export interface ContainerOptions {
  readonly name?: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly mounts?: readonly Message[];
  readonly linux?: Message;
  readonly config?: Message;
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Does nothing for ever, and ends by SIGTERM. */
export const idle = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done'];

/** A pod's sandbox. */
export class Pod {
  readonly id: string;
  readonly config: Message;
  readonly #cri: CriClient;
  #count = 0;

  constructor(cri: CriClient, id: string, config: Message) {
    this.#cri = cri;
    this.id = id;
    this.config = config;
  }

  async create(options: ContainerOptions = {}): Promise<string> {
    const name = options.name ?? `c${(this.#count += 1)}`;
    const { container_id: id } = await this.#cri.call<{ container_id: string }>('CreateContainer', {
      pod_sandbox_id: this.id,
      sandbox_config: this.config,
      config: {
        metadata: { name, attempt: 0 },
        image: { image: options.image ?? imageNames.busybox },
        command: options.command ?? idle,
        args: options.args ?? [],
        mounts: options.mounts ?? [],
        log_path: `${name}.log`,
        linux: { ...askedByKubelet, ...options.linux },
        ...options.config,
      },
    });
    return id;
  }

  /** Creates and starts. */
  async run(options: ContainerOptions = {}): Promise<string> {
    const id = await this.create(options);
    await this.#cri.call('StartContainer', { container_id: id });
    return id;
  }

  /** Runs `sh -c script` as a container to its end; returns its output. Fails unless it ends with 0. */
  async sh(script: string, options: ContainerOptions = {}): Promise<string> {
    const id = await this.run({ ...options, command: ['sh', '-c', script] });
    const { exit_code: code } = await this.untilExited(id);
    const output = await this.logs(id);
    await this.remove(id);
    if (code !== 0) throw new Error(`${script}: ended with ${code}\n${output}`);
    return output;
  }

  async start(id: string): Promise<void> {
    await this.#cri.call('StartContainer', { container_id: id });
  }

  async stop(id: string, timeoutS = 10): Promise<void> {
    await this.#cri.call('StopContainer', { container_id: id, timeout: timeoutS });
  }

  async remove(id: string): Promise<void> {
    await this.#cri.call('RemoveContainer', { container_id: id });
  }

  async status(id: string): Promise<ContainerStatus> {
    const { status } = await this.#cri.call<{ status: ContainerStatus }>('ContainerStatus', {
      container_id: id,
    });
    return status;
  }

  async untilExited(id: string): Promise<ContainerStatus> {
    return await until(`container ${id} has exited`, async () => {
      const status = await this.status(id);
      return status.state === 'CONTAINER_EXITED' && status;
    });
  }

  async exec(id: string, command: readonly string[], timeoutS = 60): Promise<ExecResult> {
    const reply = await this.#cri.call<{
      stdout: Uint8Array;
      stderr: Uint8Array;
      exit_code: number;
    }>('ExecSync', { container_id: id, cmd: command, timeout: timeoutS });
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
    return { code: reply.exit_code, stdout: text(reply.stdout), stderr: text(reply.stderr) };
  }

  /** stdout of `sh -c script` in a container; fails unless it ends with 0. */
  async execSh(id: string, script: string): Promise<string> {
    const { code, stdout, stderr } = await this.exec(id, ['sh', '-c', script]);
    if (code !== 0) throw new Error(`${script}: ended with ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  /** The lines of a container's log as it wrote them: time, stream and tag taken off. */
  async logs(id: string, stream?: 'stdout' | 'stderr'): Promise<string> {
    const { log_path: path } = await this.status(id);
    let output = '';
    for (const line of (await readFile(path, 'utf8')).split('\n').slice(0, -1)) {
      // kubelet's format: TIME STREAM F|P TEXT; P is a part of a longer line
      const [, which, tag, text] = /^\S+ (stdout|stderr) ([FP]) (.*)$/s.exec(line) ?? [];
      if (which === undefined) throw new Error(`${path}: malformed line: ${line}`);
      if (stream === undefined || which === stream) output += text + (tag === 'F' ? '\n' : '');
    }
    return output;
  }
}

export interface CriSuiteOptions {
  readonly version?: CriVersion;
  readonly runv?: RunvKeys;
  /** Whether containers of the Debian image can be run, too. */
  readonly debian?: boolean;
  /** What the tests need and the machine lacks: they are skipped, and nothing is started. */
  readonly lack?: string | undefined;
}

/** A containerd with CRI, its client, and pods whose names and cgroups are the test's own. */
export class CriSuite {
  #containerd: PrivateContainerd | undefined;
  #client: CriClient | undefined;
  #pods = 0;
  #version: CriVersion = '1.6';

  get version(): CriVersion {
    return this.#version;
  }

  get containerd(): PrivateContainerd {
    if (!this.#containerd) throw new Error('the suite has not started');
    return this.#containerd;
  }

  get client(): CriClient {
    if (!this.#client) throw new Error('the suite has not started');
    return this.#client;
  }

  async start({ version = '1.6', runv = {}, debian = false }: CriSuiteOptions): Promise<void> {
    const cni = await fromSuite('bookworm', 'containernetworking-plugins');
    const { suite, runtime = '', runv: keys }: Version = criVersions[version];
    this.#version = version;
    this.#containerd = await PrivateContainerd.start(
      { ...keys, ...runv },
      {
        cri: (dir) => criConfig(dir, runtime),
        namespace: 'k8s.io',
        ...(suite && { programs: join(await fromSuite(suite, 'containerd'), 'usr/bin') }),
      },
    );
    const { dir, socket } = this.#containerd;
    // a folder of its own: tests put plugins of theirs into it
    await must('cp', ['-rs', join(cni, 'usr/lib/cni'), join(dir, 'cni-bin')]);
    await mkdir(join(dir, 'cni'), { recursive: true });
    this.#client = await CriClient.connect(socket);
    await this.useNetwork('test', [pair(dir)]);
    const more = debian ? [await debianImage()] : [];
    for (const image of [await pauseImage(), await busyboxImage(), ...more]) {
      await this.#containerd.import(image);
      // the plugin takes the image up when it hears of it
      const request = { image: { image: image.name } };
      await until(`CRI knows ${image.name}`, async () => {
        const { images } = await this.client.image<{ images: unknown[] }>('ListImages', {
          filter: request,
        });
        return images.length > 0;
      });
    }
  }

  /**
   * Gives the pods that are run from now on another network.
   * @param name no other network's; the allocated addresses are kept by it
   */
  async useNetwork(name: string, plugins: readonly Message[]): Promise<void> {
    const { dir } = this.containerd;
    // containerd reads what was written there, and does not see what is renamed into its place
    const config = { cniVersion: '0.4.0', name, plugins };
    await writeFile(join(dir, 'cni/10-test.conflist'), JSON.stringify(config));
    await until('the network configuration is read', async () => {
      const { status, info } = await this.client.call<{
        status: { conditions: { status: boolean }[] };
        info: Record<string, string>;
      }>('Status', { verbose: true });
      const isRead = info['cniconfig']?.includes(`"Name":"${name}"`) === true;
      return isRead && status.conditions.every((condition) => condition.status);
    });
  }

  /** A PodSandboxConfig of which the test says the rest. */
  podConfig(more: Message = {}): Message {
    const name = `pod${(this.#pods += 1)}`;
    const { linux, ...rest } = more;
    const { dir } = this.containerd;
    return {
      metadata: { name, uid: `${basename(dir)}-${name}`, namespace: 'test', attempt: 0 },
      hostname: name,
      log_directory: join(dir, 'logs', name),
      dns_config: { servers: ['192.0.2.53'], searches: ['test.example'], options: ['ndots:5'] },
      linux: { cgroup_parent: `/${basename(dir)}/${name}`, ...(linux as Message | undefined) },
      ...rest,
    };
  }

  async runPod(more: Message = {}, handler: Handler = 'runv'): Promise<Pod> {
    const config = this.podConfig(more);
    await mkdir(config['log_directory'] as string, { recursive: true });
    const { pod_sandbox_id: id } = await this.client.call<{ pod_sandbox_id: string }>(
      'RunPodSandbox',
      { config, runtime_handler: handler },
    );
    return new Pod(this.client, id, config);
  }

  async stopPod(id: string): Promise<void> {
    await this.client.call('StopPodSandbox', { pod_sandbox_id: id });
  }

  async removePod(id: string): Promise<void> {
    await this.client.call('RemovePodSandbox', { pod_sandbox_id: id });
  }

  /** Gives a test a pod that is stopped and removed afterwards. */
  async withPod<T>(
    use: (pod: Pod) => Promise<T>,
    more: Message = {},
    handler?: Handler,
  ): Promise<T> {
    const pod = await this.runPod(more, handler);
    const remove = async (): Promise<void> => {
      await this.stopPod(pod.id);
      await this.removePod(pod.id);
    };
    const result = await use(pod).catch(async (e: unknown) => {
      // what went wrong first is what the test should tell
      await remove().catch(() => undefined);
      throw e;
    });
    await remove();
    return result;
  }

  async podState(id: string): Promise<string> {
    const { status } = await this.client.call<{ status: { state: string } }>('PodSandboxStatus', {
      pod_sandbox_id: id,
    });
    return status.state;
  }

  /**
   * Opens a stream of CRI's: `Exec`, `Attach`.
   * @param size of the terminal, if there is one: `80x24`
   */
  async stream(method: string, request: Message, size?: string): Promise<Running> {
    const { url } = await this.client.call<{ url: string }>(method, request);
    const main = join(checkout, 'test/harness/cri-stream-main.ts');
    const net = `--net=/proc/${this.containerd.pid}/ns/net`;
    const args = [net, process.execPath, main, url, ...(size === undefined ? [] : [size])];
    return start('nsenter', args, { keepStdin: true });
  }

  async removeAllPods(which: (id: string) => boolean = () => true): Promise<void> {
    const { items } = await this.client.call<{ items: { id: string }[] }>('ListPodSandbox', {});
    for (const { id } of items.filter((each) => which(each.id))) {
      await this.stopPod(id);
      await this.removePod(id);
    }
  }

  async stop(): Promise<void> {
    try {
      if (this.#client) await this.removeAllPods();
    } finally {
      this.#client?.close();
      await this.#containerd?.[Symbol.asyncDispose]();
    }
  }
}

/** Gives a test file its own containerd with CRI; every test must leave the machine as it was. */
export function criSuite(options: CriSuiteOptions = {}): CriSuite {
  const self = new CriSuite();
  let state: HostState = new Map();
  let logStart = 0;
  if (options.lack !== undefined) return self;
  before(async () => {
    await self.start(options);
  });
  beforeEach(async () => {
    logStart = (await self.containerd.log()).length;
    state = podState(self.containerd);
  });
  afterEach(async (t) => {
    const failed = (t as TestContext & { error: Error | null }).error !== null;
    try {
      if (failed) await self.removeAllPods().catch(() => {});
      else await assertNothingLeft(self.containerd, state, 20_000, podState);
    } finally {
      if (failed) process.stdout.write(excerpt((await self.containerd.log()).slice(logStart)));
    }
  });
  after(async () => {
    await self.stop();
  });
  return self;
}

const plainVersions: readonly CriVersion[] = ['1.6', '1.7', '2.1'];
export const allVersions = Object.keys(criVersions) as CriVersion[];

export interface VersionOptions extends Omit<CriSuiteOptions, 'version'> {
  /** Default: each containerd once, as it calls a shim by default. */
  readonly versions?: readonly CriVersion[];
}

/** Defines tests once for each version of containerd, each with a containerd of its own. */
export function eachVersion(
  { versions = plainVersions, ...options }: VersionOptions,
  define: (suite: CriSuite, version: CriVersion) => void,
): void {
  for (const version of versions) {
    if (!chosen.includes(version)) continue;
    describe(`containerd ${version}`, () => define(criSuite({ ...options, version }), version));
  }
}

/** Pods have their interfaces elsewhere, and the pods' cgroups are their maker's: kubelet's. */
function podState(containerd: PrivateContainerd): HostState {
  const state = new Map(hostState(containerd));
  for (const what of ['network link', 'network namespace', 'cgroup']) state.delete(what);
  return state;
}

/** The folder with the files of a package of another Debian suite. */
export async function fromSuite(suite: string, name: string): Promise<string> {
  return (await must(join(checkout, 'deploy/fetch-from-suite.sh'), [suite, name])).trim();
}

function criConfig(dir: string, runtime: string): string {
  return `
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${imageNames.pause}"
  # root on some machines may not lower a process's score
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${dir}/cni-bin"
  conf_dir = "${dir}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runv]
  runtime_type = "io.containerd.runv.v2"
  pod_annotations = ["io.runv.*"]
  privileged_without_host_devices = true
  ${runtime}
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`;
}

/** Unless a pod shares its process namespace. CRI's own default is to share it. */
const askedByKubelet: Message = { security_context: { namespace_options: { pid: 'CONTAINER' } } };

/** A pair of interfaces for each pod: nothing of it outlives the pod. */
function pair(dir: string): Message {
  const dataDir = join(dir, 'cni-data');
  return { type: 'ptp', ipam: { type: 'host-local', subnet: '10.88.0.0/16', dataDir } };
}
