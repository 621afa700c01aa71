/**
 * Writes tar archives in POSIX pax format: what the test images need (owners, setuid bits, hard
 * links, extended attributes, device nodes), byte for byte the same on every run.
 */
export interface TarEntry {
  readonly path: string;
  readonly kind: 'file' | 'dir' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly data?: Uint8Array | string;
  /** Target of a symbolic or hard link. */
  readonly target?: string;
  readonly xattrs?: Readonly<Record<string, Uint8Array | string>>;
  readonly major?: number;
  readonly minor?: number;
  /** Seconds since 1970. */
  readonly mtime?: number;
}

const blockBytes = 512;

// typeflag values: POSIX.1-2001 pax, table "ustar Header Block"
const typeflag: Record<TarEntry['kind'], string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  dir: '5',
  fifo: '6',
};

/** A fixed date keeps the archive, and so the image's digest, the same on every run. */
export const fixedMtime = 1_700_000_000;

export function tar(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) parts.push(...member(entry));
  parts.push(Buffer.alloc(2 * blockBytes));
  return Buffer.concat(parts);
}

function member(entry: TarEntry): Buffer[] {
  const parts: Buffer[] = [];
  const records: Buffer[] = [];
  if (Buffer.byteLength(entry.path) > 99) records.push(paxRecord('path', entry.path));
  if (entry.target !== undefined && Buffer.byteLength(entry.target) > 99) {
    records.push(paxRecord('linkpath', entry.target));
  }
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
    // the key that GNU tar, Go's archive/tar and containerd share
    records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  }
  if (records.length > 0) {
    const data = Buffer.concat(records);
    parts.push(header('pax', 'x', { mode: 0o644 }, data.length), data, padding(data.length));
  }
  const data = entry.kind === 'file' ? Buffer.from(entry.data ?? '') : Buffer.alloc(0);
  parts.push(header(entry.path, typeflag[entry.kind], entry, data.length));
  parts.push(data, padding(data.length));
  return parts;
}

function header(
  path: string,
  type: string,
  entry: Partial<TarEntry> & { mode: number },
  size: number,
): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, width: number) =>
    block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
  block.write(path.slice(0, 99), 0);
  octal(entry.mode, 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(entry.mtime ?? fixedMtime, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(type, 156, 'latin1');
  block.write((entry.target ?? '').slice(0, 99), 157);
  block.write('ustar\0' + '00', 257, 'latin1');
  octal(entry.major ?? 0, 329, 8);
  octal(entry.minor ?? 0, 337, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(sum.toString(8).padStart(6, '0') + '\0 ', 148, 'latin1');
  return block;
}

/** A record's length counts its own digits. */
function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
  let total = body.length;
  while (String(total).length + body.length !== total) total = String(total).length + body.length;
  return Buffer.concat([Buffer.from(String(total)), body]);
}

function padding(size: number): Buffer {
  return Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
}
