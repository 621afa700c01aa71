import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { Writable } from 'node:stream';
import { basename, join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import { knownAccelerator, resolveAccelerator } from './accelerator.ts';
import { type Config, loadConfig } from './config.ts';
import { containerdVersion } from './containerd-version.ts';
import { planContainer } from './container-plan.ts';
import { cgroupPath, enter, type HostCgroup, hostCgroups } from './host-cgroup.ts';
import type { VmSpec } from './hypervisor/hypervisor.ts';
import { cleanUp, Journal, markerVariable, type SandboxPaths, sandboxPaths } from './journal.ts';
import { openLogFifo } from './log-fifo.ts';
import { type OciSpec, readSpec } from './oci.ts';
import { followParent } from './oom-score.ts';
import { podRole, type PodSettings, podSettings } from './pod.ts';
import { startReply } from './reply.ts';
import type { ShimArgs } from './shim-args.ts';
import { hostLimits, interfacesAsked, sizeVm } from './sizing.ts';
import { answers } from './sweep.ts';

/** What `start` hands to the daemon, one JSON line on `argsFd`. */
export interface DaemonArgs {
  readonly namespace: string;
  readonly id: string;
  readonly debug: boolean;
  readonly ttrpcAddress: string;
  readonly config: Config;
  /** undefined: CreateSandbox will tell (containerd's sandbox API). */
  readonly sandbox: SandboxSettings | undefined;
  readonly accelerator: 'kvm' | 'tcg';
  readonly cgroups: readonly HostCgroup[];
}

/** What a sandbox is made of. */
export interface SandboxSettings {
  readonly size: VmSpec;
  readonly pod: PodSettings;
  /** Whether the pod's network namespace is or may become more than its loopback interface. */
  readonly hasNetwork: boolean;
  /** How many interfaces the VM has devices for at least. */
  readonly interfaces: number;
  /** Of a network namespace that was made for the pod; without one it is the daemon's own. */
  readonly network: string | undefined;
}

/**
 * @throws RunvError InvalidArgument when `spec` asks for what a VM cannot give
 * @throws RunvError NotFound when it names a network namespace that is not there
 */
export function sandboxSettings(spec: OciSpec, config: Config): SandboxSettings {
  planContainer(spec);
  const network = networkNamespace(spec);
  const interfaces = interfacesAsked(spec);
  return {
    size: sizeVm(spec, config),
    pod: podSettings(spec),
    hasNetwork: network !== undefined || hasHooks(spec) || interfaces !== undefined,
    // a hook may make the first
    interfaces: interfaces ?? 1,
    network,
  };
}

/** containerd's plugin that speaks the sandbox API keeps its bundles apart (containerd, plugins/sandbox). */
const isSandboxApi = (bundle: string): boolean =>
  bundle.split('/').includes('io.containerd.sandbox.controller.v1.shim');

/** The daemon's listening socket, inherited from `start`. */
export const listenFd = 3;
/** The daemon's end of a pipe from `start`: its arguments, then `go`, then the end. */
export const argsFd = 4;

/** A daemon that runs, but gives up unless `commit` is called. */
export interface Started {
  /** For stdout. */
  readonly reply: string;
  /** Tells the daemon that containerd has its address. */
  commit(): void;
}

/** In a bundle: a link to the sandbox's state directory, for `delete`. */
export const stateLink = 'runv';

/** In a bundle: where containerd, started again, finds the shim. */
const addressFile = 'address';

/** In the state directory: what the containers of the pod answer, too. */
const replyFile = 'reply';

const shimSocket = (paths: SandboxPaths): string => join(paths.socketDir, 'shim');

/**
 * Runs the daemon, `$0 $1/sandbox.cjs serve`, and cleans up after one that was killed, whether
 * containerd knows of it or not. The socket and the pipe are the daemon's alone.
 */
const supervisor = `"$0" "$1/sandbox.cjs" serve & pid=$!
exec 3<&- 4<&- 5<&- 6<&-
wait $pid || exec "$0" "$1/shim.cjs" clean`;

/**
 * `start`: makes the sandbox's directories and socket, and starts the daemon. The socket listens
 * before the daemon runs, so containerd never finds it closed. On error nothing is left.
 */
export async function start(args: ShimArgs, libDir: string): Promise<Started> {
  const config = loadConfig(process.env, libDir);
  // What cannot run is told before anything is made.
  const spec = isSandboxApi(process.cwd()) ? undefined : readSpec('.');
  const role = spec && podRole(spec);
  if (role?.kind === 'member') {
    return joinSandbox(sandboxPaths(config, args.namespace, role.sandbox));
  }
  followParent();
  const sandbox = spec && sandboxSettings(spec, config);
  const network = sandbox?.network;
  const cgroup = cgroupPath(spec?.linux?.cgroupsPath);
  const paths = sandboxPaths(config, args.namespace, args.id);
  const address = shimSocket(paths);
  if (existsSync(paths.stateDir)) {
    if (await answers(address)) {
      throw new RunvError(Code.AlreadyExists, `sandbox ${args.namespace}/${args.id} is running`);
    }
    await cleanUp(paths.stateDir, new Set([process.pid]));
  }
  rmSync(stateLink, { force: true });
  symlinkSync(paths.stateDir, stateLink);
  const journal = Journal.create(paths);
  try {
    // Before anything that takes time: by it others see that the sandbox is not dead.
    // Renamed into place: closing the server, as this process's exit does, unlinks its first name.
    const server = createServer().unref(); // what fails below ends this process
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(`${address}.new`, resolve);
    });
    renameSync(`${address}.new`, address);
    const accelerator = knownAccelerator(config) ?? (await resolveAccelerator(config, libDir));
    const cgroups = cgroup === undefined ? [] : hostCgroups(cgroup);
    for (const entry of cgroups) journal.record({ kind: 'cgroup', ...entry });
    if (sandbox) enter(cgroups, hostLimits(spec, sandbox.size, accelerator));
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const daemonArgs: DaemonArgs = {
      namespace: args.namespace,
      id: args.id,
      debug: args.debug || config.debug,
      ttrpcAddress: process.env['TTRPC_ADDRESS'] ?? `${args.address}.ttrpc`,
      config,
      sandbox,
      accelerator,
      cgroups,
    };
    // A mount namespace of its own: what is mounted for the guest ends with its processes.
    const unshare = ['unshare', '--mount', '--propagation', 'slave'];
    // The pod's network namespace, where its taps must be: what was made for it, or a new one.
    const [command = '', ...words] =
      network === undefined ? [...unshare, '--net'] : ['nsenter', `--net=${network}`, ...unshare];
    const ours = ['net', 'mnt'].map((name) => openSync(`/proc/self/ns/${name}`, 'r'));
    const daemon = spawn(command, [...words, 'sh', '-c', supervisor, process.execPath, libDir], {
      // containerd waits for our stdout to close: the daemon must not have it.
      // What it says before it can log, or when it crashes, goes to containerd's log.
      stdio: ['ignore', 'ignore', openLogFifo() ?? 'ignore', fd, 'pipe', ...ours],
      detached: true,
      env: { ...process.env, [markerVariable]: paths.stateDir },
    });
    await new Promise<void>((resolve, reject) => {
      daemon.once('spawn', resolve);
      daemon.once('error', reject);
    });
    daemon.unref();
    for (const namespace of ours) closeSync(namespace);
    server.close();
    writeFileSync(addressFile, `unix://${address}`);
    const version = await containerdVersion(config.runDir);
    const reply = startReply(`unix://${address}`, config.containerdProtocol, version);
    writeFileSync(join(paths.stateDir, replyFile), reply, { mode: 0o600 });
    const pipe = daemon.stdio[argsFd] as Writable;
    pipe.on('error', () => undefined); // a daemon that has died is found by its closed socket
    pipe.write(JSON.stringify(daemonArgs) + '\n');
    const parent = process.ppid;
    const commit = () => {
      // Whoever read our output has gone: without the word, the daemon gives up.
      if (process.ppid === parent) pipe.write('go\n');
      pipe.end(() => pipe.destroy());
    };
    return { reply, commit };
  } catch (e) {
    await cleanUp(paths.stateDir, new Set([process.pid]));
    throw e;
  }
}

/** @throws RunvError NotFound when the specification names one that is not there */
function networkNamespace(spec: OciSpec): string | undefined {
  const path = spec.linux?.namespaces?.find(({ type }) => type === 'network')?.path;
  if (path !== undefined && path !== '' && !existsSync(path)) {
    throw new RunvError(Code.NotFound, `the pod's network namespace ${path} does not exist`);
  }
  return path === '' ? undefined : path;
}

/** Hooks may give the pod its network, as nerdctl's do. */
function hasHooks({ hooks = {} }: OciSpec): boolean {
  return [hooks['prestart'], hooks['createRuntime']].some((stage) => (stage?.length ?? 0) > 0);
}

/**
 * The shim of a pod's container is its sandbox's. The bundle gets no link: what the container has
 * is the sandbox's to give back.
 * @throws RunvError NotFound when the sandbox has none any more
 */
async function joinSandbox(paths: SandboxPaths): Promise<Started> {
  const socket = shimSocket(paths);
  const reply = replyOf(paths);
  if (reply === undefined || !(await answers(socket))) {
    const id = basename(paths.stateDir);
    throw new RunvError(Code.NotFound, `sandbox ${id} is not running: it has ended or was removed`);
  }
  writeFileSync(addressFile, `unix://${socket}`);
  return { reply, commit: () => undefined };
}

/** What its `start` answered; undefined when the sandbox has gone. */
function replyOf({ stateDir }: SandboxPaths): string | undefined {
  try {
    return readFileSync(join(stateDir, replyFile), 'utf8');
  } catch {
    return undefined;
  }
}
