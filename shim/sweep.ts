import { readdirSync, rmSync, rmdirSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Config } from './config.ts';
import {
  bootId,
  cleanUp,
  markedPids,
  readJournal,
  removeEmptyParent,
  sandboxPaths,
} from './journal.ts';
import type { Log } from './log.ts';

/** A younger journal may belong to a `start` that has not begun to listen. */
const staleAfterMs = 5000;
/** Directories of `run_dir` that hold more than a namespace's sandboxes (docs/journal.md). */
const notNamespaces = new Set(['s', 'probe']);

/**
 * Gives back what is left of sandboxes whose every process has died, those that would have cleaned
 * up included, and of those that ran when the host went down: nobody else may ever come for them.
 * Never fails.
 */
export async function sweep(config: Config, log: Log): Promise<void> {
  try {
    for (const [namespace, id] of pairs(config.runDir)) {
      const { stateDir, socketDir } = sandboxPaths(config, namespace, id);
      const journal = statSync(join(stateDir, 'journal'), { throwIfNoEntry: false });
      if (!journal) {
        if (!notNamespaces.has(namespace)) removeUnused(stateDir);
        continue;
      }
      if (isOfThisBoot(stateDir)) {
        if (Date.now() - journal.mtimeMs < staleAfterMs) continue;
        if (await answers(join(socketDir, 'shim'))) continue;
        if (markedPids(stateDir).length > 0) continue;
      }
      log.warn({ namespace, id }, 'removing what is left of a sandbox that died');
      await cleanUp(stateDir, new Set([process.pid]));
    }
    sweepDisks(config, log);
  } catch (e) {
    log.warn({ err: e }, 'sweep of dead sandboxes failed');
  }
}

/** A `start` may be killed when it has made a directory, and written nothing yet. */
function removeUnused(dir: string): void {
  const made = statSync(dir, { throwIfNoEntry: false });
  if (!made || Date.now() - made.mtimeMs < staleAfterMs) return;
  try {
    rmdirSync(dir);
    removeEmptyParent(dir);
  } catch {
    // it is in use
  }
}

function isOfThisBoot(stateDir: string): boolean {
  const boot = readJournal(stateDir).find((entry) => entry.kind === 'boot');
  return boot === undefined || boot.id === bootId();
}

/**
 * Removes disks from before a reboot, whose journals went with `/run`.
 * @throws what the file system throws
 */
function sweepDisks(config: Config, log: Log): void {
  const top = join(config.dataDir, 'sandboxes');
  const bootMs = Date.now() - uptime() * 1000;
  for (const [namespace, id] of pairs(top)) {
    const { stateDir, diskDir } = sandboxPaths(config, namespace, id);
    // a journal is there before its disks are made and until they are removed
    if (statSync(join(stateDir, 'journal'), { throwIfNoEntry: false })) continue;
    const disks = statSync(diskDir, { throwIfNoEntry: false });
    if (!disks || disks.birthtimeMs > bootMs) continue;
    log.warn({ namespace, id }, 'removing disks of a sandbox from before the host started');
    rmSync(diskDir, { recursive: true, force: true });
    try {
      rmdirSync(join(top, namespace));
    } catch {
      // others are in there
    }
  }
}

/** Whether a living shim listens there. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const answer = (alive: boolean) => {
      socket.destroy();
      resolve(alive);
    };
    socket.once('connect', () => answer(true)).once('error', () => answer(false));
  });
}

/** `NAMESPACE/ID` below `top`; in `run_dir` also of sockets and a probe, which have no journal. */
function pairs(top: string): [namespace: string, id: string][] {
  return directories(top).flatMap((namespace) =>
    directories(join(top, namespace)).map((id): [string, string] => [namespace, id]),
  );
}

function directories(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return []; // it was never made, or its sandbox has ended meanwhile
  }
}
