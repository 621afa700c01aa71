import { readdirSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Config } from './config.ts';
import { cleanUp, markedPids, sandboxPaths } from './journal.ts';
import type { Log } from './log.ts';

/** A younger journal may belong to a `start` that has not begun to listen. */
const staleAfterMs = 5000;

/**
 * Gives back what is left of sandboxes whose every process has died, those that would have cleaned
 * up included: nobody else may ever come for them. Never fails.
 */
export async function sweep(config: Config, log: Log): Promise<void> {
  try {
    for (const namespace of directories(config.runDir)) {
      for (const id of directories(join(config.runDir, namespace))) {
        const { stateDir, socketDir } = sandboxPaths(config, namespace, id);
        const journal = statSync(join(stateDir, 'journal'), { throwIfNoEntry: false });
        if (!journal || Date.now() - journal.mtimeMs < staleAfterMs) continue;
        if (await answers(join(socketDir, 'shim'))) continue;
        if (markedPids(stateDir).length > 0) continue;
        log.warn({ namespace, id }, 'removing what is left of a sandbox that died');
        await cleanUp(stateDir, new Set([process.pid]));
      }
    }
  } catch (e) {
    log.warn({ err: e }, 'sweep of dead sandboxes failed');
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

/** Names of the directories in `dir`; `s` holds sockets and `probe` the probe, neither a journal. */
function directories(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}
