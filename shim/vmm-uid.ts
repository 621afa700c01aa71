import { createHash } from 'node:crypto';

/**
 * User ids of VMMs: one for each sandbox, so that none may signal, trace or read another. No
 * account has them, and systemd keeps this range free (systemd's docs/UIDS-GIDS.md).
 */
const firstUid = 0x7000_0000;
const uidBits = 0x0fff_ffff;

/** @param stateDir of the sandbox: what tells it from every other of the host */
export function vmmUid(stateDir: string): number {
  const hash = createHash('sha256').update(stateDir).digest().readUInt32BE();
  return (firstUid + (hash & uidBits)) >>> 0;
}
