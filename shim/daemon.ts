import { rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { bringUp } from '../proto/sys.ts';
import { TaskV2 } from '../proto/services.ts';
import { Server } from '../proto/ttrpc/index.ts';
import { emulationReason } from './accelerator.ts';
import { argsFd, type DaemonArgs, listenFd, stateLink } from './bootstrap.ts';
import { cleanAfterDeath } from './delete.ts';
import { EventPublisher } from './events.ts';
import { oomKills } from './host-cgroup.ts';
import { Qemu } from './hypervisor/qemu.ts';
import { cleanUp, Journal, sandboxPaths } from './journal.ts';
import { PodNetwork } from './network/pod-network.ts';
import { openLog } from './log.ts';
import { machineOptions } from './machine.ts';
import { Sandbox } from './sandbox.ts';
import { sweep } from './sweep.ts';
import { TaskEvents, taskService } from './task-service.ts';
import { readVersion } from './version.ts';

/** containerd connects within moments of `start`; a daemon that nobody wants ends. */
const unclaimedMs = 20_000;
const flushEventsMs = 2000;
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
  const taskEvents = new TaskEvents(publisher);

  if (args.accelerator === 'tcg') {
    log.warn({ reason: emulationReason(config) }, 'software emulation: containers run slowly');
  }
  const journal = Journal.open(paths);
  const namespace = args.networkNamespace;
  // As runc does with a network namespace that it has made.
  if (namespace === undefined) bringUp('lo');
  const network = args.hasNetwork
    ? new PodNetwork(log, (link) => {
        if (namespace !== undefined) journal.record({ kind: 'ingress', namespace, link });
      })
    : undefined;
  const vm = new Qemu(
    {
      ...machineOptions(config, paths, args.size),
      accelerator: args.accelerator,
      name: `runv-${args.id}`,
      network: () => network?.openDevices() ?? [],
    },
    log,
  );
  const sandbox = new Sandbox({
    id: args.id,
    namespace: args.namespace,
    config,
    paths,
    pod: args.pod,
    vm,
    network,
    listener: taskEvents,
    hostOomKills: () => oomKills(args.cgroups),
    log,
  });
  sandbox.boot();

  let swept: Promise<void> | undefined;
  const sweepOnce = () => (swept ??= sweep(config, log));
  let ending = false;
  const end = async (why: string) => {
    if (ending) return;
    ending = true;
    const nothingToTell = sandbox.isEmpty;
    log.info({ why }, 'shim ends');
    await sandbox.stop();
    await publisher.close(flushEventsMs);
    await cleanUp(paths.stateDir, new Set([process.pid, process.ppid]));
    // One that was short sweeps now: on a host of short ones nobody else would.
    await sweepOnce();
    // Last: without it `delete` takes it that nothing is left, no container's exit either.
    if (nothingToTell) rmSync(stateLink, { force: true });
    process.exit(0);
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
  server.add(
    TaskV2,
    taskService(sandbox, taskEvents, version, () => void end('Shutdown')),
  );
  let claimed = false;
  const listener = createServer((socket) => {
    claimed = true;
    void server.serve(socket);
  });
  listener.listen({ fd: listenFd });
  setTimeout(() => {
    if (!claimed) void end('containerd never connected');
  }, unclaimedMs).unref();

  // When the guest is up, and nobody waits for us: others' dead sandboxes.
  setTimeout(() => void sweepOnce(), sweepAfterMs).unref();

  const second = await lines.next();
  if (second.value !== 'go') await end('start was killed');
}
