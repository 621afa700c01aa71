import { rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, RunvError } from '../proto/error.ts';
import { bringUp, joinNetwork } from '../proto/sys.ts';
import { SandboxV1, TaskV2, TaskV3 } from '../proto/services.ts';
import { Server } from '../proto/ttrpc/index.ts';
import { emulationReason } from './accelerator.ts';
import {
  argsFd,
  type DaemonArgs,
  listenFd,
  sandboxSettings,
  type SandboxSettings,
  stateLink,
} from './bootstrap.ts';
import { cleanAfterDeath } from './delete.ts';
import { EventPublisher } from './events.ts';
import { serveGrpc } from './grpc.ts';
import { cgroupPath, enter, hostCgroups, oomKills } from './host-cgroup.ts';
import { Qemu } from './hypervisor/qemu.ts';
import { IdleMemory } from './idle-memory.ts';
import { cleanUp, Journal, sandboxPaths } from './journal.ts';
import { PodNetwork } from './network/pod-network.ts';
import { openLog } from './log.ts';
import { machineOptions } from './machine.ts';
import { specOfPod, writePodFiles } from './pod-config.ts';
import { Sandbox } from './sandbox.ts';
import { sandboxService } from './sandbox-service.ts';
import { hostLimits } from './sizing.ts';
import { sweep } from './sweep.ts';
import { TaskEvents, taskService } from './task-service.ts';
import { readVersion } from './version.ts';

/** containerd connects within moments of `start`; a daemon that nobody wants ends. */
const unclaimedMs = 20_000;
const flushEventsMs = 2000;
const acceptMs = 50;
/** Who is connected when the sandbox has ended gets answers for so long. */
const disconnectMs = 2000;
const sweepAfterMs = 1000;

/**
 * `serve`: the daemon, one for each sandbox. A pipe brings what to serve; the VM is started at
 * once, before containerd's first call.
 */
export async function serve(libDir: string): Promise<void> {
  const lines = createInterface({ input: new Socket({ fd: argsFd }) })[Symbol.asyncIterator]();
  const first = await lines.next();
  // Nothing came: start was killed before it could say for whom. The launcher cleans up, or we do.
  if (first.done === true) return cleanAfterDeath();
  const args = JSON.parse(first.value) as DaemonArgs;
  const { config } = args;
  const paths = sandboxPaths(config, args.namespace, args.id);
  const log = openLog(args.debug).child({ sandbox: args.id, namespace: args.namespace });
  const publisher = new EventPublisher(args.ttrpcAddress, args.namespace, log);
  const idleMemory = new IdleMemory();
  const taskEvents = new TaskEvents(publisher, () => idleMemory.touch());

  if (args.accelerator === 'tcg') {
    log.warn({ reason: emulationReason(config) }, 'software emulation: containers run slowly');
  }
  const make = (settings: SandboxSettings): Sandbox => {
    const { size, pod, hasNetwork, interfaces, network: namespace } = settings;
    const { accelerator } = args;
    // As runc does with a network namespace that it has made.
    if (namespace === undefined) bringUp('lo');
    const network = hasNetwork
      ? new PodNetwork(log, interfaces, (link) => {
          if (namespace !== undefined) journal.record({ kind: 'ingress', namespace, link });
        })
      : undefined;
    const vm = new Qemu(
      {
        ...machineOptions(config, paths, size),
        accelerator,
        name: `runv-${args.id}`,
        network: () => network?.openDevices() ?? [],
      },
      log,
    );
    const made = new Sandbox({
      id: args.id,
      namespace: args.namespace,
      config,
      paths,
      pod,
      vm,
      network,
      listener: taskEvents,
      hostOomKills: () => oomKills(cgroups),
      log,
    });
    made.boot();
    return made;
  };
  const journal = Journal.open(paths);
  let { cgroups } = args;
  let sandbox = args.sandbox && make(args.sandbox);
  const current = (): Sandbox => {
    if (sandbox) return sandbox;
    throw new RunvError(Code.FailedPrecondition, `sandbox ${args.id} has not been created`);
  };

  let swept: Promise<void> | undefined;
  const sweepOnce = () => (swept ??= sweep(config, log));
  const giveBack = async (why: string) => {
    log.info({ why }, 'shim ends');
    await sandbox?.stop();
    await publisher.close(flushEventsMs);
    await cleanUp(paths.stateDir, new Set([process.pid, process.ppid]));
    // With it `delete` takes it that something is left: a container's exit is.
    if (!sandbox?.hasContainers) rmSync(stateLink, { force: true });
  };
  const leave = async () => {
    // The socket has gone, but who found it before is not accepted yet.
    await sleep(acceptMs);
    const disconnected = new Promise<void>((resolve) => listener.close(() => resolve()));
    await Promise.race([disconnected, sleep(disconnectMs)]);
    // One that was short sweeps now: on a host of short ones nobody else would.
    await sweepOnce();
    process.exit(0);
  };
  let ended: Promise<void> | undefined;
  /** Resolves when nothing of the sandbox is left but this process: that can be answered then. */
  const end = (why: string): Promise<void> => {
    if (!ended) {
      ended = giveBack(why);
      void ended.then(leave);
    }
    return ended;
  };
  const fail = (e: unknown) => {
    log.fatal({ err: e }, 'unexpected error');
    process.exit(1); // the supervisor cleans up
  };
  process.on('uncaughtException', fail).on('unhandledRejection', fail);
  // containerd stops its shims by Shutdown; a host that goes down sends SIGTERM to everything.
  process.on('SIGTERM', () => void end('SIGTERM')).on('SIGINT', () => undefined);

  const version = readVersion(libDir);
  const server = new Server();
  const tasks = taskService(current, taskEvents, version, () => end('Shutdown'));
  server.add(TaskV2, tasks);
  server.add(TaskV3, tasks);
  server.add(
    SandboxV1,
    sandboxService({
      sandbox: current,
      create: (pod, netnsPath) => {
        if (sandbox) throw new RunvError(Code.AlreadyExists, `sandbox ${args.id} exists already`);
        const spec = specOfPod(args.id, pod, netnsPath);
        const settings = sandboxSettings(spec, config);
        // `start` could know neither
        if (settings.network !== undefined) joinNetwork(settings.network);
        const path = cgroupPath(spec.linux?.cgroupsPath);
        if (path !== undefined) cgroups = hostCgroups(path);
        for (const entry of cgroups) journal.record({ kind: 'cgroup', ...entry });
        enter(cgroups, hostLimits(spec, settings.size, args.accelerator));
        const mounts = writePodFiles(pod, join(paths.stateDir, 'etc'));
        sandbox = make({ ...settings, pod: { ...settings.pod, mounts } });
      },
      shutdown: () => end('ShutdownSandbox'),
    }),
  );
  const clients = new Set<Socket>();
  /** Whether anybody has called: another's sweep only connects. */
  let claimed = false;
  const look = (client: Socket) => (claimed ||= client.bytesRead > 0);
  const listener = createServer((socket) => {
    clients.add(socket);
    socket.once('close', () => {
      look(socket);
      clients.delete(socket);
    });
    if (config.containerdProtocol === 'grpc') serveGrpc(socket, server);
    else void server.serve(socket);
  });
  listener.listen({ fd: listenFd });
  setTimeout(() => {
    clients.forEach(look);
    if (!claimed) void end('containerd never called');
  }, unclaimedMs).unref();

  // When the guest is up, and nobody waits for us: others' dead sandboxes.
  setTimeout(() => void sweepOnce(), sweepAfterMs).unref();

  const second = await lines.next();
  if (second.value !== 'go') await end('start was killed');
}
