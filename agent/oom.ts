import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import { oomKills } from './cgroup-stats.ts';

/** Tells of processes of one cgroup that the kernel killed for lack of memory. */
export class OomWatch {
  readonly #dir: string;
  readonly #onOom: () => void;
  readonly #watcher: FSWatcher;
  #seen: bigint;

  /** @param onOom called once for each change of the count, so once for kills that come together */
  constructor(dir: string, onOom: () => void) {
    this.#dir = dir;
    this.#onOom = onOom;
    this.#seen = oomKills(dir);
    // The kernel notifies inotify when memory.events changes (cgroup-v2.rst, "Memory").
    this.#watcher = watch(join(dir, 'memory.events'), () => this.look());
    this.#watcher.on('error', () => undefined);
  }

  /** Looks at once: an exit must not be told before the kill that caused it. */
  look(): void {
    const now = oomKills(this.#dir);
    if (now <= this.#seen) return;
    this.#seen = now;
    this.#onOom();
  }

  close(): void {
    this.#watcher.close();
  }
}
