import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { orClose, tryLock } from '../proto/sys.ts';
import type { Log } from './log.ts';

/** What has begun goes on first: a container of a guest that has booted before the next guest. */
const pollMs = { boot: 50, create: 10 } as const;
/** A guest decides how long its agent takes: it must not keep others out for longer. */
const longestStayMs = 5000;
/** The gate orders starts; it refuses none. */
const longestWaitMs = 60_000;

/**
 * Lets as many sandboxes of the host as it has processors do at a time what takes a processor for
 * itself: boot, and create a container. More at once take longer for all of them, and under
 * emulation twice as long, as each evicts the others' translated code from the caches.
 *
 * A place is a lock on a file of `run_dir`, which ends with its holder.
 */
export class StartGate {
  readonly #files: readonly string[];
  readonly #log: Log;

  /** @param places how many may be in at once */
  constructor(runDir: string, log: Log, places = availableParallelism()) {
    this.#files = Array.from({ length: places }, (_, n) => join(runDir, `.start-${n}`));
    this.#log = log;
  }

  /**
   * Waits for a place.
   * @returns what gives it back; may be called more than once
   * @throws the signal's reason
   */
  async enter(what: keyof typeof pollMs, signal: AbortSignal): Promise<() => void> {
    const latest = performance.now() + longestWaitMs;
    for (;;) {
      signal.throwIfAborted();
      try {
        const fd = this.#tryEnter();
        if (fd !== undefined) return place(fd);
        if (performance.now() > latest) throw new Error('others start for too long');
      } catch (err) {
        this.#log.warn({ err }, 'starting without a place among those that start');
        return () => undefined;
      }
      await sleep(pollMs[what], undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  #tryEnter(): number | undefined {
    for (const file of this.#files) {
      const fd = openSync(file, 'a', 0o600);
      if (orClose(fd, () => tryLock(fd))) return fd;
      closeSync(fd);
    }
    return undefined;
  }
}

function place(fd: number): () => void {
  let isHeld = true;
  const leave = (): void => {
    if (!isHeld) return;
    isHeld = false;
    clearTimeout(timer);
    closeSync(fd);
  };
  const timer = setTimeout(leave, longestStayMs).unref();
  return leave;
}
