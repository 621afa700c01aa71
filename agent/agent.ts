import type { Duplex } from 'node:stream';
import { Agent as AgentDefinition } from '../proto/services.ts';
import { Server } from '../proto/ttrpc/index.ts';
import { Undo } from '../proto/undo.ts';
import { AgentService, type Machine } from './agent-service.ts';
import type { Disks } from './disks.ts';
import type { GuestPaths } from './environment.ts';
import { CgroupReader } from './cgroup-stats.ts';
import { Events } from './events.ts';
import type { Log } from './log.ts';
import { Mounts } from './mounts.ts';
import { SharedPids } from './pod.ts';
import { Reaper, type ReaperSystem } from './reaper.ts';
import { Runc } from './runc.ts';
import { Streams } from './streams.ts';

/** What the agent needs of the world; `main` gives it the guest. */
export interface World {
  readonly paths: GuestPaths;
  readonly disks: (newUndo: () => Undo) => Disks;
  readonly machine: Machine;
  readonly reaperSystem: ReaperSystem;
  /** What must be done before the first container, and can wait until the host has its answer. */
  readonly finish: () => void;
  readonly log: Log;
  readonly version: string;
}

/** The whole agent but for where its connections come from. */
export interface RunningAgent {
  /** Takes a connection to the control port. */
  readonly control: (connection: Duplex) => void;
  /** Takes a connection to the stdio port. */
  readonly stdio: (connection: Duplex) => void;
  /** Call on every SIGCHLD. */
  readonly childExited: () => void;
}

/** Wires the agent's parts together. The directories in `paths` must exist. */
export function createAgent(world: World): RunningAgent {
  const { paths, disks, machine, log } = world;
  const reaper = new Reaper(world.reaperSystem, log);
  const { runcProgram: path, runcState: root, temp: tempDir } = paths;
  const newUndo = () => new Undo((err, what) => log.warn({ err, what }, 'undo failed'));
  const streams = new Streams(log);
  const runc = new Runc({ path, root, tempDir }, reaper);
  const service = new AgentService(
    {
      paths,
      runc,
      reaper,
      streams,
      mounts: new Mounts(disks(newUndo), paths.shared, newUndo),
      pod: new SharedPids(runc, reaper, paths.shared),
      cgroupReader: new CgroupReader(),
      events: new Events(log),
      log,
    },
    machine,
    () => {
      world.finish();
      Runc.warmUp();
    },
    world.version,
  );
  const server = new Server({
    onFailedCall: ({ method, error }) => log.warn({ method, err: error }, 'call failed'),
  });
  server.add(AgentDefinition, service);
  return {
    control: (connection) => void server.serve(connection),
    stdio: (connection) => void streams.accept(connection),
    childExited: reaper.collect,
  };
}
