import { readlinkSync } from 'node:fs';
import { task } from '../proto/messages.ts';
import { timestampFromDate } from '../proto/timestamp.ts';
import { stateLink } from './bootstrap.ts';
import { runLastHooks } from './hooks.ts';
import { cleanUp, markerVariable } from './journal.ts';
import { type OciSpec, readSpec } from './oci.ts';

/** Status of a container whose shim died: as if killed by SIGKILL. */
const killedStatus = 128 + 9;

/**
 * `delete`: containerd calls it in the bundle when the shim is gone. Gives back whatever the
 * sandbox still has, and answers with an encoded DeleteResponse. Needs no configuration, so a
 * broken one holds nothing up.
 */
export async function deleteSandbox(id: string): Promise<Uint8Array> {
  await cleanAfterDeath();
  await finishHooks(id);
  return task.DeleteResponse.encode({
    pid: 0,
    exitStatus: killedStatus,
    exitedAt: timestampFromDate(new Date()),
  });
}

/**
 * `clean`: called by the launcher when `start` was killed, by the supervisor when the daemon was;
 * the sandbox is that of the environment or of the bundle. With neither, nothing was made.
 */
export async function cleanAfterDeath(): Promise<void> {
  const stateDir = process.env[markerVariable] ?? linkedStateDir();
  if (stateDir !== undefined) await cleanUp(stateDir, new Set([process.pid]));
}

/** What gave the container its network takes it back. A broken bundle had no container. */
async function finishHooks(id: string): Promise<void> {
  let spec: OciSpec;
  try {
    spec = readSpec('.');
  } catch {
    return;
  }
  const state = { id, bundle: process.cwd(), pid: 0, status: 'stopped' } as const;
  const failed = (e: unknown) => process.stderr.write(`runv: ${(e as Error).message}\n`);
  await runLastHooks(spec, state, failed, []);
}

function linkedStateDir(): string | undefined {
  try {
    return readlinkSync(stateLink);
  } catch {
    return undefined;
  }
}
