import { openSync, closeSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { must, run, until } from './command.ts';
import { Ctr } from './ctr.ts';
import { distDir } from './environment.ts';
import type { TestImage } from './image.ts';
import { environmentName } from './skip.ts';
import { unescapeMountPath } from './proc.ts';

/** Keys of runv's configuration file; unknown ones are the point of some tests. */
export type RunvKeys = Readonly<Record<string, string | number | boolean>>;

/** Where KVM works, a test that ends up without it must not pass: nothing is left to `auto`. */
function machine(): RunvKeys {
  return environmentName() === 'kvm' ? { accelerator: 'kvm', vsock: 'vhost' } : {};
}

/** What a private containerd differs in from the machine's own, and from one without pods. */
export interface ContainerdOptions {
  /** Where its directory is made; a short path. */
  readonly base?: string;
  /** Name of a device mapper thin pool: turns the devmapper snapshotter on. */
  readonly thinPool?: string;
  /** Directory of another version's programs: `containerd` and its runc shim. */
  readonly programs?: string;
  /**
   * Lines of the configuration that turn the CRI plugin on. It then runs in a network namespace of
   * its own, so that pods' interfaces are seen by no other test.
   */
  readonly cri?: (dir: string) => string;
  /** In a network namespace of its own, as with `cri`: for clients that make networks. */
  readonly ownNetwork?: boolean;
  /** The one that clients use; default: the directory's name. */
  readonly namespace?: string;
}

/** A containerd of the test's own: nothing of it is shared with the system's or another test's. */
export class PrivateContainerd implements AsyncDisposable {
  readonly dir: string;
  readonly ctr: Ctr;
  readonly logPath: string;
  readonly #options: ContainerdOptions;
  #process: ChildProcess | undefined;

  private constructor(dir: string, options: ContainerdOptions) {
    this.dir = dir;
    this.#options = options;
    this.logPath = join(dir, 'containerd.log');
    // cgroups carry the namespace's name: a unique one tells whose they are
    this.ctr = new Ctr(this.socket, options.namespace ?? basename(dir), this.fifoDir);
  }

  static async start(
    runv: RunvKeys = {},
    options: ContainerdOptions = {},
  ): Promise<PrivateContainerd> {
    // short: a Unix socket's path ends at 107 bytes
    const base = options.base ?? process.env['RUNV_TEST_DIR'] ?? '/tmp';
    const dir = await mkdtemp(join(base, 'runv-t-'));
    // like /run and /var/lib: what runv starts without privileges must reach its own files below
    await chmod(dir, 0o755);
    const self = new PrivateContainerd(dir, options);
    try {
      await self.#prepare(options);
      await self.configureRunv(runv);
      await self.launch();
    } catch (e) {
      await self[Symbol.asyncDispose]();
      throw e;
    }
    return self;
  }

  /** Goes on with what an earlier one left in its directory, as after a reboot of the host. */
  static async reopen(dir: string): Promise<PrivateContainerd> {
    const self = new PrivateContainerd(dir, {});
    await self.launch();
    return self;
  }

  get socket(): string {
    return join(this.dir, 'containerd.sock');
  }
  /** Where ctr makes its FIFOs, and leaves them when it is killed. */
  get fifoDir(): string {
    return join(this.dir, 'fifo');
  }
  /** containerd's state directory: bundles live in `io.containerd.runtime.v2.task` below it. */
  get stateDir(): string {
    return join(this.dir, 'state');
  }
  get runvRunDir(): string {
    return join(this.dir, 'runv-run');
  }
  get runvDataDir(): string {
    return join(this.dir, 'runv-data');
  }
  get directVolumesDir(): string {
    return join(this.dir, 'direct-volumes');
  }
  /** Where containerd and its shims make temporary files: other tests use /tmp at the same time. */
  get tempDir(): string {
    return join(this.dir, 'tmp');
  }
  get runvConfigPath(): string {
    return join(this.dir, 'runv.toml');
  }
  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error('containerd is not running');
    return pid;
  }

  /** What of the machine's is this containerd's: paths and names with one of these in them. */
  get marks(): readonly string[] {
    const own = basename(this.dir);
    return [this.dir, own];
  }

  bundleDir(id: string): string {
    return join(this.stateDir, 'io.containerd.runtime.v2.task', this.ctr.namespace, id);
  }

  async #prepare({ thinPool }: ContainerdOptions): Promise<void> {
    const bin = join(this.dir, 'bin');
    for (const dir of [bin, this.fifoDir, this.tempDir]) await mkdir(dir);
    // containerd finds a shim through PATH: only these may be found, wherever others are installed
    await symlink(join(distDir, 'containerd-shim-runv-v2'), join(bin, 'containerd-shim-runv-v2'));
    const { programs = '/usr/bin', cri } = this.#options;
    await symlink(join(programs, 'containerd-shim-runc-v2'), join(bin, 'containerd-shim-runc-v2'));
    const devmapper =
      thinPool === undefined
        ? ''
        : `
[plugins."io.containerd.snapshotter.v1.devmapper"]
  root_path = "${this.dir}/devmapper"
  pool_name = "${thinPool}"
  base_image_size = "256MB"
  discard_blocks = true
`;
    const config = `
version = 2
root = "${this.dir}/root"
state = "${this.stateDir}"
disabled_plugins = [${cri ? '' : '"io.containerd.grpc.v1.cri",'}
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  ${thinPool === undefined ? '"io.containerd.snapshotter.v1.devmapper",' : ''}
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "${this.socket}"
[debug]
  level = "debug"
[plugins."io.containerd.internal.v1.opt"]
  path = "${this.dir}/opt"
${cri?.(this.dir) ?? ''}${devmapper}`;
    await writeFile(join(this.dir, 'config.toml'), config);
  }

  /** Writes runv's configuration; a shim reads it when it starts. */
  async configureRunv(keys: RunvKeys): Promise<void> {
    const all = {
      run_dir: this.runvRunDir,
      data_dir: this.runvDataDir,
      direct_volumes_dir: this.directVolumesDir,
      ...machine(),
      ...keys,
    };
    const lines = Object.entries(all).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    await writeFile(this.runvConfigPath, lines.join('\n') + '\n');
  }

  /** Starts the daemon and waits until it answers. Legal when it does not run. */
  async launch(): Promise<void> {
    const log = openSync(this.logPath, 'a');
    try {
      const program = join(this.#options.programs ?? '/usr/bin', 'containerd');
      const command = [program, '--config', join(this.dir, 'config.toml')];
      const alone = ['unshare', '--net', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh'];
      const { cri, ownNetwork = cri !== undefined } = this.#options;
      const [file = '', ...args] = ownNetwork ? [...alone, ...command] : command;
      this.#process = spawn(file, args, {
        stdio: ['ignore', log, log],
        cwd: this.dir,
        env: {
          PATH: `${join(this.dir, 'bin')}:/usr/sbin:/usr/bin:/sbin:/bin`,
          HOME: process.env['HOME'] ?? '/root',
          TMPDIR: this.tempDir,
          RUNV_CONFIG: this.runvConfigPath,
          // libdevmapper's, where no udev makes its nodes
          ...(process.env['DM_DISABLE_UDEV'] === undefined ? {} : { DM_DISABLE_UDEV: '1' }),
        },
      });
    } finally {
      closeSync(log);
    }
    await once(this.#process, 'spawn');
    await until('containerd answers', async () => {
      if (this.#process?.exitCode !== null)
        throw new Error(`containerd ended\n${await this.log()}`);
      return (await this.ctr.call(['version'], { deadlineMs: 10_000 })).code === 0;
    });
  }

  /** Words before a command that runs in the daemon's network namespace. */
  inItsNetwork(): string[] {
    return ['nsenter', `--net=/proc/${this.#process?.pid}/ns/net`, '--'];
  }

  /** Ends the daemon only: shims and containers go on, as when a package is upgraded. */
  async terminate(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    this.#process = undefined;
  }

  async restart(signal: NodeJS.Signals): Promise<void> {
    await this.terminate(signal);
    await this.launch();
  }

  async import(image: TestImage, snapshotter = 'overlayfs'): Promise<void> {
    const args = ['images', 'import', '--snapshotter', snapshotter, image.archive];
    await this.ctr.must(args, { deadlineMs: 180_000 });
  }

  /** What containerd and the shims logged. */
  async log(): Promise<string> {
    return await readFile(this.logPath, 'utf8').catch(() => '');
  }

  async #mountsBelow(): Promise<string[]> {
    const lines = (await readFile('/proc/self/mountinfo', 'utf8')).trim().split('\n');
    return lines
      .map((line) => unescapeMountPath(line.split(' ')[4] ?? ''))
      .filter((path) => path.startsWith(`${this.dir}/`))
      .reverse();
  }

  /** Removes containers, daemon, mounts and files; survives whatever state a test left. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#process;
    if (child && child.exitCode === null && child.signalCode === null) {
      const ids = await this.ctr.containers().catch(() => []);
      for (const id of ids) await this.ctr.remove(id).catch(() => {});
      await this.terminate('SIGTERM');
    }
    for (const path of await this.#mountsBelow()) await run('umount', ['-l', path]);
    for (const top of await cgroupsOf(basename(this.dir))) {
      // innermost first; a cgroup that is in use stays
      await run('find', [top, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', '+']);
    }
    const { RUNV_TEST_LOGS: logs } = process.env;
    if (logs !== undefined) {
      await mkdir(logs, { recursive: true });
      await copyFile(this.logPath, join(logs, `${basename(this.dir)}.log`)).catch(() => {});
    }
    if (process.env['RUNV_TEST_KEEP'] === undefined) {
      await rm(this.dir, { recursive: true, force: true });
    }
  }
}

async function cgroupsOf(name: string): Promise<string[]> {
  const out = await must('find', [
    ...['/sys/fs/cgroup', '-maxdepth', '3', '-type', 'd', '-name', name],
  ]);
  return out.split('\n').filter((path) => path !== '');
}
