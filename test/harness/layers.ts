import type { TarEntry } from './tar.ts';

/**
 * The layers of the test images. Together they hold one of everything that a root file system
 * made of layers can get wrong: removed and replaced files, emptied directories, hard links, set-id
 * bits, foreign owners, extended attributes, device nodes, odd names, sparse-looking data.
 */

const passwd = [
  'root:x:0:0:root:/root:/bin/sh',
  'worker:x:1000:2000:Worker:/home/worker:/bin/sh',
  'nobody:x:65534:65534:nobody:/nonexistent:/bin/false',
];
const group = ['root:x:0:', 'workers:x:2000:', 'extra:x:3000:worker', 'nogroup:x:65534:'];

const directory = (path: string, mode = 0o755, rest: Partial<TarEntry> = {}): TarEntry => ({
  path: `${path}/`,
  kind: 'dir',
  mode,
  ...rest,
});
const file = (path: string, data: string | Uint8Array, rest: Partial<TarEntry> = {}): TarEntry => ({
  path,
  kind: 'file',
  mode: 0o644,
  data,
  ...rest,
});

/** Lowest layer of the small image: one static binary and a link to it for each applet. */
export function baseLayer(busybox: Uint8Array, applets: readonly string[]): TarEntry[] {
  const directories = ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'run', 'sys', 'usr', 'var'];
  return [
    ...directories.map((path) => directory(path)),
    directory('tmp', 0o1777),
    directory('usr/bin'),
    file('bin/busybox', busybox, { mode: 0o755 }),
    ...applets
      .filter((name) => name !== 'busybox')
      .map((name): TarEntry => ({
        path: `bin/${name}`,
        kind: 'symlink',
        mode: 0o777,
        target: 'busybox',
      })),
    file('etc/passwd', passwd.join('\n') + '\n'),
    file('etc/group', group.join('\n') + '\n'),
    file('etc/os-release', 'ID=runv-test\nPRETTY_NAME="runv test image"\n'),
  ];
}

/** What a layer above will remove or replace stands here first, beside the odd things. */
export function oddLayer(): TarEntry[] {
  return [
    directory('odd'),
    file('odd/removed', 'must not be seen\n'),
    file('odd/replaced', 'old content\n', { mode: 0o600 }),
    directory('odd/emptied'),
    file('odd/emptied/old', 'must not be seen\n'),
    directory('odd/removed-dir'),
    file('odd/removed-dir/inner', 'must not be seen\n'),
    file('odd/file-becomes-dir', 'x'),
    directory('odd/dir-becomes-file'),
    file('odd/dir-becomes-file/inner', 'x'),
    file('odd/hardlink-a', 'one inode, three names\n'),
    { path: 'odd/hardlink-b', kind: 'hardlink', mode: 0o644, target: 'odd/hardlink-a' },
    { path: 'odd/hardlink-c', kind: 'hardlink', mode: 0o644, target: 'odd/hardlink-a' },
    { path: 'odd/symlink', kind: 'symlink', mode: 0o777, target: 'hardlink-a' },
    { path: 'odd/symlink-absolute', kind: 'symlink', mode: 0o777, target: '/odd/hardlink-a' },
    { path: 'odd/symlink-dangling', kind: 'symlink', mode: 0o777, target: 'nowhere' },
    file('odd/setuid', '#!/bin/sh\n', { mode: 0o4755 }),
    file('odd/setgid', '#!/bin/sh\n', { mode: 0o2755, gid: 2000 }),
    directory('odd/sticky', 0o1777),
    file('odd/foreign', 'owned by 1000:2000\n', { uid: 1000, gid: 2000, mode: 0o640 }),
    file('odd/large-ids', 'x', { uid: 65534, gid: 100_000 }),
    file('odd/unreadable', 'x', { mode: 0o000 }),
    file('odd/empty', ''),
    file('odd/big', Buffer.alloc(3_000_001, 'runv')),
    file('odd/zeros', Buffer.alloc(1_048_576)),
    file('odd/xattr', 'x', {
      xattrs: { 'user.runv': 'a value', 'user.binary': Buffer.of(0, 255, 10) },
    }),
    directory('odd/xattr-dir', 0o755, { xattrs: { 'user.dir': 'on a directory' } }),
    // VFS_CAP_REVISION_2 with cap_net_raw permitted and effective: linux/capability.h
    file('odd/capability', 'x', {
      mode: 0o755,
      xattrs: {
        'security.capability': Buffer.from('0100000200200000000000000000000000000000', 'hex'),
      },
    }),
    file('odd/old', 'x', { mtime: 86_400 }),
    file('odd/name with spaces', 'x'),
    file('odd/ünïcode', 'x'),
    file(`odd/${'long-name-'.repeat(20)}`, 'x'),
    { path: 'odd/null', kind: 'char', mode: 0o666, major: 1, minor: 3 },
    { path: 'odd/fifo', kind: 'fifo', mode: 0o644 },
    directory('work'),
    directory('work/dir', 0o755, { uid: 1000, gid: 2000 }),
    directory('home/worker', 0o750, { uid: 1000, gid: 2000 }),
  ];
}

/** Takes away and replaces; the names `.wh.*` are the image format's own (OCI layer.md). */
export function changeLayer(): TarEntry[] {
  return [
    directory('odd'),
    file('odd/.wh.removed', ''),
    file('odd/.wh.removed-dir', ''),
    file('odd/replaced', 'new content\n', { mode: 0o755 }),
    directory('odd/emptied'),
    file('odd/emptied/.wh..wh..opq', ''),
    file('odd/emptied/new', 'only this one\n'),
    directory('odd/file-becomes-dir'),
    file('odd/file-becomes-dir/inner', 'now inside\n'),
    file('odd/dir-becomes-file', 'now a file\n'),
    file('odd/last-layer', 'from the last layer\n'),
  ];
}
