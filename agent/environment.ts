import type { CgroupReader } from './cgroup-stats.ts';
import type { Events } from './events.ts';
import type { Log } from './log.ts';
import type { FileSystems } from './mounts.ts';
import type { Pod } from './pod.ts';
import type { Reaper } from './reaper.ts';
import type { Runc } from './runc.ts';
import type { Streams } from './streams.ts';

/** Where the guest has what. */
export interface GuestPaths {
  /** One directory for each container; a tmpfs, as all below, which is never waited for: no thread pool. */
  readonly containers: string;
  /** Mount points that containers share. */
  readonly shared: string;
  /** Files that live as long as one call; a short path, for Unix sockets. */
  readonly temp: string;
  /** runc's state. */
  readonly runcState: string;
  readonly runcProgram: string;
  /** Where the cgroup v2 hierarchy is mounted. */
  readonly cgroups: string;
  readonly sysfs: string;
}

/** What containers are made with; one for the whole agent. */
export interface Environment {
  readonly paths: GuestPaths;
  readonly runc: Runc;
  readonly reaper: Reaper;
  readonly streams: Streams;
  readonly mounts: FileSystems;
  readonly pod: Pod;
  readonly cgroupReader: CgroupReader;
  readonly events: Events;
  readonly log: Log;
}
