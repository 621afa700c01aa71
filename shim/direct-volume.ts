import { constants, statSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import { diskFileSystems, splitMountOptions } from './container-plan.ts';

/*
 * Volumes whose disk goes into the guest. Who publishes one leaves a record of it instead of mounting
 * it: the contract of Kata Containers (docs/design/direct-blk-device-assignment.md and the package
 * direct-volume there), so that a CSI driver written for it works here.
 */

const recordName = 'mountInfo.json';
const maxRecordBytes = 64 * 1024;
/** Both say that the device is a disk with a file system; drivers use either. */
const volumeTypes = ['block', 'directvol'];
/** A directory's name may have 255 bytes, of which base64 makes this many. */
const maxPathBytes = Math.floor(255 / 4) * 3;
const maxGid = 2 ** 32 - 2;

/** What a record says. */
export interface DirectVolume {
  readonly device: string;
  readonly fsType: string;
  readonly options: readonly string[];
  readonly readOnly: boolean;
  /** The group that its files are given to; undefined: they stay as they are. */
  readonly fsGroup: FsGroup | undefined;
}

export interface FsGroup {
  readonly gid: number;
  /** Leave a volume alone whose root has this group already. */
  readonly onRootMismatch: boolean;
}

/** A path of the host that lies in such a volume. */
export interface DirectSource {
  readonly volume: DirectVolume;
  /** Below the volume; empty: all of it. */
  readonly subPath: string;
}

const invalid = (message: string) => new RunvError(Code.InvalidArgument, message);

/**
 * Looks for the record of a volume that a path is, or lies in.
 * @param dir see the configuration's `direct_volumes_dir`
 * @returns undefined when there is none
 * @throws RunvError for a record that cannot be used
 */
export async function findDirectVolume(
  dir: string,
  source: string,
): Promise<DirectSource | undefined> {
  const names = await readdir(dir).catch(none);
  if (names.length === 0) return undefined;
  // padded or not
  const known = new Map(names.map((name) => [name.replace(/=+$/, ''), name]));
  const path = normalize(source).replace(/(?<=.)\/$/, '');
  for (let at = path; ; at = dirname(at)) {
    const name = known.get(Buffer.from(at).toString('base64url'));
    const text = name === undefined ? undefined : await readRecord(join(dir, name), at);
    if (text !== undefined) {
      const volume = parseDirectVolume(text, at);
      assertBlockDevice(volume, at);
      return { volume, subPath: path.slice(at.length).replace(/^\//, '') };
    }
    if (at === dirname(at)) return undefined;
  }
}

/**
 * Checks a record.
 * @param path of the volume, for the error
 * @throws RunvError InvalidArgument
 */
export function parseDirectVolume(text: string, path: string): DirectVolume {
  const wrong = (why: string) => invalid(`direct volume ${path}: ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong(`its record is not JSON`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong('its record is not a JSON object');
  }
  const record = value as Record<string, unknown>;
  const { device, fstype, options, metadata } = record;
  const type = record['volume-type'];
  if (!volumeTypes.includes(type as string)) {
    throw wrong(`volume-type must be "block" or "directvol", not ${JSON.stringify(type)}`);
  }
  if (typeof device !== 'string' || !device.startsWith('/') || device.includes('\0')) {
    throw wrong(`device must be an absolute path, not ${JSON.stringify(device)}`);
  }
  if (typeof fstype !== 'string' || !diskFileSystems.has(fstype)) {
    const supported = [...diskFileSystems].join(', ');
    throw wrong(`fstype must be one the guest has (${supported}), not ${JSON.stringify(fstype)}`);
  }
  const given = options ?? [];
  if (!Array.isArray(given) || !given.every((option) => typeof option === 'string')) {
    throw wrong('options must be a list of strings');
  }
  const split = splitMountOptions(given.flatMap((option) => option.split(',')));
  const fsGroup = readFsGroup(metadata ?? {}, wrong);
  return { device, fsType: fstype, options: split.ofFileSystem, readOnly: split.readOnly, fsGroup };
}

function readFsGroup(metadata: unknown, wrong: (why: string) => RunvError): FsGroup | undefined {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw wrong('metadata must be an object');
  }
  const { fsGroup, fsGroupChangePolicy: policy } = metadata as Record<string, unknown>;
  if (fsGroup === undefined || fsGroup === '') return undefined;
  const gid = typeof fsGroup === 'string' && /^\d{1,10}$/.test(fsGroup) ? Number(fsGroup) : -1;
  if (gid < 0 || gid > maxGid) {
    throw wrong(`fsGroup must be a group's number as text, not ${JSON.stringify(fsGroup)}`);
  }
  if (policy !== undefined && policy !== '' && policy !== 'Always' && policy !== 'OnRootMismatch') {
    throw wrong(
      `fsGroupChangePolicy must be "Always" or "OnRootMismatch", not ${JSON.stringify(policy)}`,
    );
  }
  return { gid, onRootMismatch: policy === 'OnRootMismatch' };
}

/**
 * Leaves a record, in place of one that is there.
 * @param path of the volume, as whoever mounts it names it
 * @throws RunvError for a path or record that cannot be used
 */
export async function addDirectVolume(dir: string, path: string, text: string): Promise<void> {
  const place = recordDir(dir, path);
  if (Buffer.byteLength(text) > maxRecordBytes) throw tooLarge(path);
  assertBlockDevice(parseDirectVolume(text, path), path);
  await mkdir(place, { recursive: true, mode: 0o700 });
  const unfinished = join(place, `.${recordName}.${process.pid}`);
  try {
    await writeFile(unfinished, text, { mode: 0o600 });
    await rename(unfinished, join(place, recordName));
  } finally {
    await rm(unfinished, { force: true });
  }
}

/**
 * Takes a record back. Containers that have the volume keep it.
 * @throws RunvError NotFound when there is none
 */
export async function removeDirectVolume(dir: string, path: string): Promise<void> {
  const place = recordDir(dir, path);
  try {
    // what else a driver has put there goes too
    await rm(place, { recursive: true });
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
    throw new RunvError(Code.NotFound, `there is no direct volume ${path}`);
  }
}

function recordDir(dir: string, path: string): string {
  if (!path.startsWith('/') || path === '/' || normalize(path) !== path || path.endsWith('/')) {
    throw invalid(`a volume's path must be absolute, without "..", not ${JSON.stringify(path)}`);
  }
  const bytes = Buffer.from(path);
  if (bytes.length > maxPathBytes) {
    throw invalid(`the path ${path} is longer than ${maxPathBytes} bytes`);
  }
  // as Go's base64.URLEncoding writes it
  const name = bytes.toString('base64url');
  return join(dir, name.padEnd(Math.ceil(name.length / 4) * 4, '='));
}

/** @returns undefined when there is none */
async function readRecord(place: string, path: string): Promise<string | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    await using file = await open(join(place, recordName), flags);
    const stats = await file.stat();
    if (!stats.isFile()) throw invalid(`direct volume ${path}: its record is not a file`);
    if (stats.size > maxRecordBytes) throw tooLarge(path);
    return await file.readFile('utf8');
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (e instanceof RunvError) throw e;
    const why = (e as Error).message;
    throw invalid(`direct volume ${path}: its record cannot be read: ${why}`);
  }
}

function tooLarge(path: string): RunvError {
  return invalid(`direct volume ${path}: its record is larger than ${maxRecordBytes} bytes`);
}

function assertBlockDevice({ device }: DirectVolume, path: string): void {
  const stats = statSync(device, { throwIfNoEntry: false });
  if (!stats) {
    throw new RunvError(Code.NotFound, `direct volume ${path}: there is no device ${device}`);
  }
  if (!stats.isBlockDevice()) {
    throw invalid(`direct volume ${path}: ${device} is not a block device`);
  }
}

function none(e: NodeJS.ErrnoException): string[] {
  if (e.code === 'ENOENT') return [];
  throw e;
}
