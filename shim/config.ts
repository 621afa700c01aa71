import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { Code, RunvError } from '../proto/error.ts';

/** runv's configuration; `config.default.toml` tells what each key means to a user. */
export interface Config {
  readonly runDir: string;
  readonly dataDir: string;
  readonly directVolumesDir: string;
  readonly qemu: string;
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  readonly kernel: string;
  readonly image: string;
  readonly kernelArgs: string;
  readonly vsock: 'auto' | 'vhost' | 'vhost-user';
  readonly vhostDeviceVsock: string;
  readonly containerdProtocol: 'ttrpc' | 'grpc';
  readonly defaultVcpus: number;
  readonly maxVcpus: number;
  readonly defaultMemoryMiB: number;
  readonly baseMemoryMiB: number;
  readonly maxMemoryMiB: number;
  readonly scratchMiB: number;
  readonly bootTimeoutMs: number;
  readonly debug: boolean;
}

/** Where the configuration is looked for when RUNV_CONFIG does not say. */
export const defaultConfigPath = '/etc/runv/config.toml';

/** The least memory with which the guest's kernel, agent and runc come up, in MiB. */
export const leastMemoryMiB = 128;

type Check<T> = (value: unknown) => T | undefined;

const absolutePath: Check<string> = (v) =>
  typeof v === 'string' && v.startsWith('/') ? v : undefined;
const anyString: Check<string> = (v) => (typeof v === 'string' ? v : undefined);
const aBoolean: Check<boolean> = (v) => (typeof v === 'boolean' ? v : undefined);
const integer =
  (least: number, most: number): Check<number> =>
  (v) =>
    typeof v === 'number' && Number.isInteger(v) && v >= least && v <= most ? v : undefined;
const oneOf =
  <T extends string>(...values: readonly T[]): Check<T> =>
  (v) =>
    values.find((known) => known === v);

interface Key<T> {
  /** Its name in the file. */
  readonly name: string;
  readonly check: Check<T>;
  /** Completes the sentence `<key> must be …`. */
  readonly expects: string;
  readonly fallback: T;
  /** The path must exist when the shim starts. */
  readonly mustExist?: boolean;
}

const path = (name: string, fallback: string, mustExist = false): Key<string> => ({
  name,
  check: absolutePath,
  expects: 'an absolute path',
  fallback,
  mustExist,
});
const count = (name: string, least: number, most: number, fallback: number): Key<number> => ({
  name,
  check: integer(least, most),
  expects: `a whole number from ${least} to ${most}`,
  fallback,
});
const choice = <T extends string>(name: string, fallback: T, ...others: readonly T[]): Key<T> => ({
  name,
  check: oneOf(fallback, ...others),
  expects: `one of ${[fallback, ...others].map((v) => `"${v}"`).join(', ')}`,
  fallback,
});

/** @param libDir where the shim itself and what it came with are installed */
const keys = (libDir: string): { readonly [K in keyof Config]: Key<Config[K]> } => ({
  runDir: path('run_dir', '/run/runv'),
  dataDir: path('data_dir', '/var/lib/runv'),
  directVolumesDir: path('direct_volumes_dir', '/run/runv/direct-volumes'),
  qemu: path('qemu', '/usr/bin/qemu-system-x86_64', true),
  accelerator: choice('accelerator', 'auto', 'kvm', 'tcg'),
  kernel: path('kernel', join(libDir, 'vmlinux'), true),
  image: path('image', join(libDir, 'rootfs.erofs'), true),
  kernelArgs: { name: 'kernel_args', check: anyString, expects: 'a string', fallback: '' },
  vsock: choice('vsock', 'auto', 'vhost', 'vhost-user'),
  vhostDeviceVsock: path('vhost_device_vsock', join(libDir, 'vhost-device-vsock')),
  containerdProtocol: choice('containerd_protocol', 'ttrpc', 'grpc'),
  defaultVcpus: count('default_vcpus', 1, 64, 1),
  maxVcpus: count('max_vcpus', 1, 64, 64),
  defaultMemoryMiB: count('default_memory_mib', leastMemoryMiB, 1 << 20, 512),
  baseMemoryMiB: count('base_memory_mib', leastMemoryMiB, 1 << 20, 192),
  maxMemoryMiB: count('max_memory_mib', leastMemoryMiB, 1 << 20, 1 << 20),
  scratchMiB: count('scratch_mib', 16, 1 << 24, 10_240),
  bootTimeoutMs: count('boot_timeout_ms', 100, 600_000, 60_000),
  debug: { name: 'debug', check: aBoolean, expects: 'true or false', fallback: false },
});

/**
 * Checks a whole configuration text.
 * @param source named in errors: the file's path
 * @throws RunvError InvalidArgument: one line naming file, key and what is expected
 */
export function parseConfig(text: string, source: string, libDir: string): Config {
  const wrong = (message: string) => new RunvError(Code.InvalidArgument, `${source}: ${message}`);
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (e) {
    if (!(e instanceof TomlError)) throw e;
    const [summary] = e.message.split('\n');
    throw wrong(`line ${e.line}: ${summary}`);
  }
  const known = keys(libDir);
  const byName = new Map(Object.values(known).map((key) => [key.name, key]));
  for (const name of Object.keys(table)) {
    if (!byName.has(name)) {
      throw wrong(`unknown key "${name}"; known keys: ${[...byName.keys()].join(', ')}`);
    }
  }
  const read = <T>(key: Key<T>): T => {
    const given = table[key.name];
    const value = given === undefined ? key.fallback : key.check(given);
    if (value === undefined) {
      throw wrong(`${key.name} must be ${key.expects}, not ${JSON.stringify(given)}`);
    }
    if (key.mustExist === true && !existsSync(value as string)) {
      throw wrong(`${key.name}: there is no file ${value as string}`);
    }
    return value;
  };
  const entries = Object.entries(known).map(([field, key]) => [field, read(key as Key<unknown>)]);
  const config = Object.fromEntries(entries) as Config;
  if (config.defaultMemoryMiB > config.maxMemoryMiB) {
    throw wrong('default_memory_mib is greater than max_memory_mib');
  }
  if (config.baseMemoryMiB > config.maxMemoryMiB) {
    throw wrong('base_memory_mib is greater than max_memory_mib');
  }
  return config;
}

/**
 * Reads the configuration: the file that RUNV_CONFIG names, else `/etc/runv/config.toml` where it
 * exists, else the defaults.
 * @throws RunvError NotFound when RUNV_CONFIG names a file that is not there
 */
export function loadConfig(env: NodeJS.ProcessEnv, libDir: string): Config {
  const named = env['RUNV_CONFIG'];
  const source = named ?? defaultConfigPath;
  let text: string;
  try {
    text = readFileSync(source, 'utf8');
  } catch (e) {
    const { code, message } = e as NodeJS.ErrnoException;
    if (code !== 'ENOENT') {
      throw new RunvError(Code.InvalidArgument, `cannot read the configuration: ${message}`);
    }
    if (named !== undefined) {
      throw new RunvError(Code.NotFound, `RUNV_CONFIG: there is no file ${named}`);
    }
    text = '';
  }
  return parseConfig(text, source, libDir);
}
