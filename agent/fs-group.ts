import type { Stats } from 'node:fs';
import { chmod, lchown, lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import type { agent } from '../proto/messages.ts';

/** What kubelet adds for the group (kubernetes, pkg/volume/volume_linux.go): read and write, and for directories search and setgid. */
const fileMode = 0o660;
const directoryMode = 0o2770;
const permissions = 0o7777;

/**
 * Gives a volume to a group: every file belongs to it, and its members may read and write. What is
 * made later in a directory belongs to it too.
 */
export async function giveToGroup(
  root: string,
  { gid = 0, onRootMismatch = false }: agent.IFsGroup,
): Promise<void> {
  const stats = await lstat(root);
  if (onRootMismatch && stats.gid === gid && (stats.mode & directoryMode) === directoryMode) return;
  await give(root, stats, gid);
}

/** The root of a tree comes last: as long as it is not done, it shows. */
async function give(path: string, stats: Stats, gid: number): Promise<void> {
  if (stats.isDirectory()) {
    for await (const { name } of await opendir(path)) {
      const entry = join(path, name);
      await give(entry, await lstat(entry), gid);
    }
  }
  if (stats.gid !== gid) await lchown(path, stats.uid, gid);
  if (stats.isSymbolicLink()) return;
  const mode = stats.mode & permissions;
  const wanted = mode | (stats.isDirectory() ? directoryMode : fileMode);
  // chown(2) may have cleared set-user-ID
  if (wanted !== mode || stats.gid !== gid) await chmod(path, wanted);
}
