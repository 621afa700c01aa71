import { exitStatus } from './exit-status.ts';
import type { Log } from './log.ts';

/** How a process ended, and when it was reaped. */
export interface ChildExit {
  /** As a shell reports it. */
  readonly status: number;
  readonly unixMs: number;
}

/** What the reaper needs of the system. */
export interface ReaperSystem {
  peekExitedChild(): number | undefined;
  reapChild(pid: number): number | undefined;
}

/**
 * Waits for the children that this process did not spawn: as pid 1 it is given every orphan, and
 * runc leaves the containers' processes to it. Those that libuv spawned are libuv's to wait for.
 */
export class Reaper {
  readonly #system: ReaperSystem;
  readonly #log: Log;
  readonly #spawned = new Set<number>();
  readonly #claims = new Map<number, (exit: ChildExit) => void>();
  /** Exits that nobody has claimed yet; kept only while somebody may. */
  readonly #unclaimed = new Map<number, ChildExit>();
  #expecting = 0;
  #retry = false;

  constructor(system: ReaperSystem, log: Log) {
    this.#system = system;
    this.#log = log;
  }

  /** Call on every SIGCHLD. */
  readonly collect = (): void => {
    this.#retry = false;
    for (;;) {
      const pid = this.#system.peekExitedChild();
      if (pid === undefined) return;
      if (this.#spawned.has(pid)) {
        // Libuv reaps it when it handles the same signal; only then do others come into view.
        if (!this.#retry) setImmediate(this.collect);
        this.#retry = true;
        return;
      }
      const waitStatus = this.#system.reapChild(pid);
      if (waitStatus !== undefined) this.#deliver(pid, waitStatus);
    }
  };

  #deliver(pid: number, waitStatus: number): void {
    const exit = { status: exitStatus(waitStatus), unixMs: Date.now() };
    const claim = this.#claims.get(pid);
    if (claim) {
      this.#claims.delete(pid);
      claim(exit);
    } else if (this.#expecting > 0) {
      this.#unclaimed.set(pid, exit);
    }
  }

  /** Call right after spawning with Node, before anything else can run. */
  spawned(pid: number): void {
    this.#spawned.add(pid);
  }

  /** Call when Node tells that a spawned child has exited. */
  spawnedExited(pid: number): void {
    this.#spawned.delete(pid);
    this.collect();
  }

  /**
   * While `launch` runs exits are kept for `claim`: a process may exit before its pid is known.
   * Outside of that a claim could only find the exit of an earlier process of the same pid.
   */
  async expect<T>(launch: () => Promise<T>): Promise<T> {
    this.#expecting++;
    try {
      return await launch();
    } finally {
      this.#expecting--;
      if (this.#expecting === 0) this.#unclaimed.clear();
    }
  }

  /** The exit of one process, to be claimed once, by what `expect` runs. */
  claim(pid: number): Promise<ChildExit> {
    const exit = this.#unclaimed.get(pid);
    if (exit) {
      this.#unclaimed.delete(pid);
      return Promise.resolve(exit);
    }
    if (this.#claims.has(pid)) this.#log.error({ pid }, 'process claimed twice');
    return new Promise((resolve) => this.#claims.set(pid, resolve));
  }
}
