import { describe, must, run, start, until } from './command.ts';
import type { Outcome, Running, RunOptions, StartOptions } from './command.ts';
import { runtime } from './environment.ts';
import { imageNames } from './image.ts';

export interface ContainerOptions extends RunOptions {
  readonly image?: string;
  readonly argv?: readonly string[];
  /** Further flags of `ctr run`, `ctr container create` or `ctr task exec`. */
  readonly flags?: readonly string[];
  readonly runtime?: string;
  readonly id?: string;
}

export interface Mount {
  readonly type: string;
  readonly source: string;
  readonly options?: readonly string[];
}

/** Does nothing for ever, as a first process that reaps what is orphaned to it. */
export const idle = ['sh', '-c', 'sleep 100000; :'];

/** `ctr` as a user types it, on one containerd and one namespace. */
export class Ctr {
  readonly address: string;
  readonly namespace: string;
  readonly #fifoDir: string;
  #count = 0;

  /** @param fifoDir ctr's own default is one directory of the whole machine */
  constructor(address: string, namespace: string, fifoDir: string) {
    this.address = address;
    this.namespace = namespace;
    this.#fifoDir = fifoDir;
  }

  /** An id no other container of this containerd has. */
  newId(prefix = 'c'): string {
    this.#count += 1;
    return `${prefix}${this.#count}`;
  }

  #full(args: readonly string[]): string[] {
    return ['-a', this.address, '-n', this.namespace, ...args];
  }

  async call(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return await run('ctr', this.#full(args), options);
  }

  /** A call that must succeed; returns its stdout. */
  async must(args: readonly string[], options: RunOptions = {}): Promise<string> {
    return await must('ctr', this.#full(args), options);
  }

  startCall(args: readonly string[], options: StartOptions = {}): Running {
    return start('ctr', this.#full(args), options);
  }

  runArgs(options: ContainerOptions, ...modes: string[]): string[] {
    return [
      'run',
      ...modes,
      '--runtime',
      options.runtime ?? runtime,
      ...this.#stdioFlags(options),
      options.image ?? imageNames.busybox,
      options.id ?? this.newId(),
      ...(options.argv ?? []),
    ];
  }

  /** ctr refuses a FIFO directory beside a log URI. */
  #stdioFlags({ flags = [] }: ContainerOptions): string[] {
    return flags.includes('--log-uri') ? [...flags] : ['--fifo-dir', this.#fifoDir, ...flags];
  }

  /** `ctr run --rm`: to the end of the container, which is then removed. */
  async run(options: ContainerOptions): Promise<Outcome> {
    return await this.call(this.runArgs(options, '--rm'), options);
  }

  /** `sh -c SCRIPT` in a container; returns its stdout and fails unless it ends with 0. */
  async sh(script: string, options: ContainerOptions = {}): Promise<string> {
    const outcome = await this.run({ ...options, argv: ['sh', '-c', script] });
    if (outcome.code !== 0) throw new Error(describe(outcome));
    return outcome.stdout;
  }

  /** `ctr run --rm` that goes on in the foreground while the test does something else. */
  startRun(options: ContainerOptions & StartOptions): Running {
    return this.startCall(this.runArgs(options, '--rm'), options);
  }

  /** `ctr run --rm -t` under a pseudo-terminal of its own. */
  startRunTty(options: ContainerOptions): Running {
    return this.#underTerminal(this.runArgs(options, '--rm', '-t'), options);
  }

  /** `ctr run --detach`; returns the id. The caller removes the container. */
  async runDetached(options: ContainerOptions): Promise<string> {
    const id = options.id ?? this.newId();
    await this.must(this.runArgs({ ...options, id }, '--detach'), options);
    return id;
  }

  async create(options: ContainerOptions): Promise<string> {
    const id = options.id ?? this.newId();
    await this.must([
      ...['container', 'create', '--runtime', options.runtime ?? runtime],
      ...(options.flags ?? []),
      // unlike `ctr run`, this command would take the argv's own flags for its flags
      '--',
      options.image ?? imageNames.busybox,
      id,
      ...(options.argv ?? []),
    ]);
    return id;
  }

  taskStartArgs(id: string, ...flags: string[]): string[] {
    return ['task', 'start', '--fifo-dir', this.#fifoDir, ...flags, id];
  }

  #execArgs(id: string, options: ContainerOptions, ...modes: string[]): string[] {
    const execId = options.id ?? this.newId('e');
    return [
      ...['task', 'exec', '--exec-id', execId, ...modes],
      ...this.#stdioFlags(options),
      id,
      ...(options.argv ?? []),
    ];
  }

  /** `ctr task exec`; `options.id` is the exec's. */
  async exec(
    id: string,
    argv: readonly string[],
    options: ContainerOptions = {},
  ): Promise<Outcome> {
    return await this.call(this.#execArgs(id, { ...options, argv }), options);
  }

  startExec(
    id: string,
    argv: readonly string[],
    options: ContainerOptions & StartOptions = {},
  ): Running {
    return this.startCall(this.#execArgs(id, { ...options, argv }), options);
  }

  startExecTty(id: string, argv: readonly string[], options: ContainerOptions = {}): Running {
    return this.#underTerminal(this.#execArgs(id, { ...options, argv }, '-t'), options);
  }

  #underTerminal(args: readonly string[], options: RunOptions): Running {
    const quoted = ['ctr', ...this.#full(args)].map((word) => `'${word.replaceAll("'", `'\\''`)}'`);
    // script(1) has no terminal to copy a size from: without one its own is 0 by 0
    const command = `stty rows 24 cols 80; exec ${quoted.join(' ')}`;
    return start('script', ['-qfec', command, '/dev/null'], { ...options, keepStdin: true });
  }

  async kill(id: string, signal: string, ...flags: string[]): Promise<void> {
    await this.must(['task', 'kill', '-s', signal, ...flags, id]);
  }

  /** The mounts that make up a container's root file system, as a client passes them on. */
  async snapshotMounts(id: string): Promise<Mount[]> {
    const out = await this.must(['snapshot', 'mounts', '/mnt', id]);
    return out
      .trim()
      .split('\n')
      .map((line) => {
        // mount -t TYPE SOURCE /mnt -o OPTIONS
        const [, , type = '', source = '', , , options = ''] = line.split(' ');
        return { type, source, options: options.split(',') };
      });
  }

  /** STATUS column of `ctr task ls`; undefined when there is no task. */
  async status(id: string): Promise<string | undefined> {
    const lines = (await this.must(['task', 'ls'])).split('\n').map((line) => line.split(/\s+/));
    return lines.find(([name]) => name === id)?.[2];
  }

  async untilStatus(id: string, status: string, deadlineMs?: number): Promise<void> {
    const probe = async () => (await this.status(id)) === status;
    await until(`task ${id} is ${status}`, probe, deadlineMs);
  }

  /** Kills and removes a container whatever state it is in. */
  async remove(id: string): Promise<void> {
    await this.call(['task', 'delete', '--force', id]);
    await this.must(['container', 'delete', id]);
  }

  async containers(): Promise<string[]> {
    return (await this.must(['container', 'ls', '-q'])).split('\n').filter((id) => id !== '');
  }
}
