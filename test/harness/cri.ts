import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, afterEach, before, beforeEach, type TestContext } from 'node:test';
import { must, until } from './command.ts';
import { PrivateContainerd, type RunvKeys } from './containerd.ts';
import { CriClient, type Message } from './cri-client.ts';
import { checkout } from './environment.ts';
import { busyboxImage, imageNames, pauseImage } from './image.ts';
import { assertNothingLeft, hostState, type HostState } from './leaks.ts';
import { excerpt } from './suite.ts';

/** The containerd versions that pods are tested on, by the Debian suite that has them. */
export const criVersions = {
  '1.6': undefined,
  '1.7': 'trixie',
  '2.1': 'sid',
} as const;
export type CriVersion = keyof typeof criVersions;

/** RUNV_TEST_CONTAINERD chooses another version than the machine's own for all pods' tests. */
export const defaultVersion = (process.env['RUNV_TEST_CONTAINERD'] ?? '1.6') as CriVersion;

/** The handler of the runtime under test; `runc` compares. */
const handler = process.env['RUNV_TEST_HANDLER'] ?? 'runv';

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
        image: { image: imageNames.busybox },
        command: options.command ?? idle,
        args: options.args ?? [],
        mounts: options.mounts ?? [],
        log_path: `${name}.log`,
        linux: options.linux ?? {},
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

/** A containerd with CRI, its client, and pods whose names and cgroups are the test's own. */
export class CriSuite {
  #containerd: PrivateContainerd | undefined;
  #client: CriClient | undefined;
  #pods = 0;

  get containerd(): PrivateContainerd {
    if (!this.#containerd) throw new Error('the suite has not started');
    return this.#containerd;
  }

  get client(): CriClient {
    if (!this.#client) throw new Error('the suite has not started');
    return this.#client;
  }

  async start(version: CriVersion, runv: RunvKeys): Promise<void> {
    const cni = await fromSuite('bookworm', 'containernetworking-plugins');
    const suite = criVersions[version];
    this.#containerd = await PrivateContainerd.start(runv, {
      cri: (dir) => criConfig(dir, join(cni, 'usr/lib/cni')),
      namespace: 'k8s.io',
      ...(suite && { programs: join(await fromSuite(suite, 'containerd'), 'usr/bin') }),
    });
    const { dir, socket } = this.#containerd;
    await mkdir(join(dir, 'cni'), { recursive: true });
    await writeFile(join(dir, 'cni/10-test.conflist'), JSON.stringify(cniConfig(dir)));
    this.#client = await CriClient.connect(socket);
    for (const image of [await pauseImage(), await busyboxImage()]) {
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
    await until('the network configuration is read', async () => {
      const { status } = await this.client.call<{
        status: { conditions: { type: string; status: boolean }[] };
      }>('Status', {});
      return status.conditions.every((condition) => condition.status);
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

  async runPod(more: Message = {}): Promise<Pod> {
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
  async withPod<T>(use: (pod: Pod) => Promise<T>, more: Message = {}): Promise<T> {
    const pod = await this.runPod(more);
    try {
      return await use(pod);
    } finally {
      await this.stopPod(pod.id);
      await this.removePod(pod.id);
    }
  }

  async podState(id: string): Promise<string> {
    const { status } = await this.client.call<{ status: { state: string } }>('PodSandboxStatus', {
      pod_sandbox_id: id,
    });
    return status.state;
  }

  async removeAllPods(): Promise<void> {
    const { items } = await this.client.call<{ items: { id: string }[] }>('ListPodSandbox', {});
    for (const { id } of items) {
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
export function criSuite(options: { version?: CriVersion; runv?: RunvKeys } = {}): CriSuite {
  const self = new CriSuite();
  let state: HostState = new Map();
  let logStart = 0;
  before(async () => {
    await self.start(options.version ?? defaultVersion, options.runv ?? {});
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

function criConfig(dir: string, cniPrograms: string): string {
  return `
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${imageNames.pause}"
  # root on some machines may not lower a process's score
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${cniPrograms}"
  conf_dir = "${dir}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runv]
  runtime_type = "io.containerd.runv.v2"
  pod_annotations = ["io.runv.*"]
  privileged_without_host_devices = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`;
}

/** A pair of interfaces for each pod: nothing of it outlives the pod. */
function cniConfig(dir: string): Message {
  return {
    cniVersion: '0.4.0',
    name: 'test',
    plugins: [
      {
        type: 'ptp',
        ipam: { type: 'host-local', subnet: '10.88.0.0/16', dataDir: join(dir, 'cni-data') },
      },
    ],
  };
}
