import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';
import type { agent, cgroup } from '../proto/messages.ts';
import { assertAllowed, type ProcessOp } from '../proto/process-state.ts';
import { errnos, kill, syncFileSystem, SysError } from '../proto/sys.ts';
import { Undo } from '../proto/undo.ts';
import { cgroupPids } from './cgroup-stats.ts';
import type { Environment } from './environment.ts';
import { guestProcess, guestResources } from './guest-spec.ts';
import { cgroupOf, launch, prepareBundle } from './launch.ts';
import type { Log } from './log.ts';
import { rootDir, settleAll } from './mounts.ts';
import { OomWatch } from './oom.ts';
import type { Launch } from './runc.ts';
import { ContainerProcess } from './process.ts';
import { ProcessIo } from './stdio.ts';

const noStdio: agent.Stdio = { stdin: 0, stdout: 0, stderr: 0, terminal: false };

/** Linux: kill(2) takes 1 to 64. */
const maxSignal = 64;
const SIGKILL = 9;

/** A container of the guest, from its creation to its removal. */
export class Container {
  readonly id: string;
  readonly #env: Environment;
  readonly #dir: string;
  readonly #cgroup: string;
  readonly #log: Log;
  /** A promise while runc starts it. */
  readonly #execs = new Map<string, ContainerProcess | Promise<ContainerProcess>>();
  readonly #init: ContainerProcess;
  readonly #teardown: Undo;
  #oom: OomWatch | undefined;
  /** Operations that change the container's state, one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #execCount = 0;

  /**
   * Makes a container with its first process, which waits for `start`.
   * @throws RunvError; nothing of the container is left then
   */
  static async create(
    request: agent.CreateContainerRequest,
    env: Environment,
    pidsOf: (containerId: string) => number,
    signal: AbortSignal,
  ): Promise<Container> {
    const { containerId: id, stdio } = request;
    const log = env.log.child({ container: id });
    const dir = join(env.paths.containers, id);
    await using undo = new Undo((err, what) => log.warn({ err, what }, 'undo failed'));
    mkdirSync(dir);
    undo.add(`remove ${dir}`, () => rmSync(dir, { recursive: true, force: true }));
    const opening = ProcessIo.open(stdio ?? noStdio, env.streams, signal, log);
    const preparing = prepareBundle(request, dir, env, undo, pidsOf);
    await settleAll([opening, preparing]).catch(async (e: unknown) => {
      await opening.then((io) => io.close()).catch(() => undefined);
      throw e;
    });
    const io = await opening;
    undo.add('close stdio', () => io.close());
    const ownPidNamespace = await preparing;
    undo.add('remove the container', () => env.runc.delete(id, { force: true }));
    return await env.reaper.expect(async () => {
      const pid = await launch(io, env.paths.temp, (how) => env.runc.create(id, dir, how, signal));
      log.info({ pid, rssBytes: process.memoryUsage.rss() }, 'container created');
      return new Container(env, log, request, { pid, io, ownPidNamespace }, undo.move());
    });
  }

  private constructor(
    env: Environment,
    log: Log,
    { containerId }: agent.CreateContainerRequest,
    init: { pid: number; io: ProcessIo; ownPidNamespace: boolean },
    teardown: Undo,
  ) {
    const { pid, io, ownPidNamespace } = init;
    this.id = containerId;
    this.#env = env;
    this.#log = log;
    this.#dir = join(env.paths.containers, containerId);
    this.#cgroup = join(env.paths.cgroups, cgroupOf(containerId));
    this.#teardown = teardown;
    try {
      const oom = () => env.events.push({ oom: { containerId } });
      this.#oom = new OomWatch(this.#cgroup, oom);
    } catch (e) {
      log.warn({ err: e }, 'OOM kills are not watched');
    }
    const beforeExit = async (): Promise<void> => {
      this.#oom?.look();
      // a private pid namespace has ended with its first process
      if (!ownPidNamespace) this.#killAll(SIGKILL);
      // containerd takes the first process's exit for the container's: it comes last
      await Promise.all([...this.#execs.values()].map(published));
    };
    this.#init = this.#follow('', { kind: 'created', pid }, io, beforeExit);
  }

  get pid(): number {
    return this.#init.pid;
  }

  /** @throws RunvError FailedPrecondition unless created */
  start(): Promise<void> {
    return this.#oneByOne(async () => {
      this.#assertMay('start');
      await this.#env.runc.start(this.id, this.#init.published);
      // it may have run to its end already
      if (this.#init.state.kind === 'created')
        this.#init.state = { kind: 'running', pid: this.pid };
    });
  }

  /**
   * Runs one more process.
   * @returns its pid
   * @throws RunvError AlreadyExists, FailedPrecondition unless running
   */
  async exec(request: agent.StartExecRequest, signal: AbortSignal): Promise<number> {
    const { execId } = request;
    this.#assertMay('exec');
    if (this.#execs.has(execId)) {
      throw new RunvError(Code.AlreadyExists, `container ${this.id} has an exec ${execId} already`);
    }
    const launching = this.#launchExec(request, signal);
    this.#execs.set(execId, launching);
    try {
      const process = await launching;
      this.#execs.set(execId, process);
      return process.pid;
    } catch (e) {
      this.#execs.delete(execId);
      throw e;
    }
  }

  async #launchExec(
    { execId, process, stdio = noStdio }: agent.StartExecRequest,
    signal: AbortSignal,
  ): Promise<ContainerProcess> {
    const { paths, reaper, streams, runc } = this.#env;
    const spec = { ...guestProcess(process), terminal: stdio.terminal };
    const file = join(this.#dir, `exec-${++this.#execCount}.json`);
    writeFileSync(file, JSON.stringify(spec));
    await using undo = new Undo((err, what) => this.#log.warn({ err, what }, 'undo failed'));
    undo.add(`remove ${file}`, () => rmSync(file, { force: true }));
    const io = await ProcessIo.open(stdio, streams, signal, this.#log.child({ exec: execId }));
    undo.add('close stdio', () => io.close());
    return await reaper.expect(async () => {
      const start = (how: Launch) => runc.exec(this.id, file, how, signal);
      const pid = await launch(io, paths.temp, start);
      undo.move();
      rmSync(file, { force: true });
      const look = async () => this.#oom?.look();
      return this.#follow(execId, { kind: 'running', pid }, io, look);
    });
  }

  /** @throws RunvError NotFound when the process has exited, InvalidArgument for no signal */
  signal({ execId, signal, all }: agent.SignalRequest): void {
    if (signal < 1 || signal > maxSignal) {
      throw new RunvError(Code.InvalidArgument, `${signal} is no signal`);
    }
    const process = this.process(execId);
    if (all && this.#killAll(signal) > 0) return;
    // the pid is the process's own as long as the reaper has not taken its exit
    if (!process.running) throw new RunvError(Code.NotFound, 'process already finished');
    kill(process.pid, signal);
  }

  pause(): Promise<void> {
    return this.#oneByOne(async () => {
      this.#assertMay('pause');
      await this.#env.runc.pause(this.id);
      if (this.#init.running) this.#init.state = { kind: 'paused', pid: this.pid };
    });
  }

  resume(): Promise<void> {
    return this.#oneByOne(async () => {
      this.#assertMay('resume');
      await this.#env.runc.resume(this.id);
      if (this.#init.running) this.#init.state = { kind: 'running', pid: this.pid };
    });
  }

  update(resources: Uint8Array): Promise<void> {
    return this.#oneByOne(async () => {
      this.#assertRunning('update');
      const file = join(this.#dir, 'resources.json');
      writeFileSync(file, JSON.stringify(guestResources(resources, this.#env.paths.sysfs)));
      await this.#env.runc.update(this.id, file);
    });
  }

  /** Writes out its root file system. */
  sync(): Promise<void> {
    return syncFileSystem(join(this.#dir, rootDir));
  }

  pids(): agent.IPidsResponseProcess[] {
    this.#assertRunning('list the processes of');
    const execs = new Map<number, string>();
    for (const [id, exec] of this.#execs) {
      if (exec instanceof ContainerProcess && exec.running) execs.set(exec.pid, id);
    }
    return cgroupPids(this.#cgroup).map((pid) => ({ pid, execId: execs.get(pid) ?? '' }));
  }

  stats(): cgroup.IMetrics {
    this.#assertRunning('measure');
    return this.#env.cgroupReader.stats(this.#cgroup);
  }

  /** @throws RunvError FailedPrecondition without a terminal */
  resize({ execId, width, height }: agent.ResizePtyRequest): void {
    // 0 by 0 is what a client has whose own terminal does not know its size
    const fits = (n: number) => n >= 0 && n <= 65535;
    if (!fits(width) || !fits(height)) {
      throw new RunvError(Code.InvalidArgument, `${width}x${height} is no terminal size`);
    }
    this.process(execId).io.resize(width, height);
  }

  /** @throws RunvError FailedPrecondition while it runs */
  async deleteExec(execId: string): Promise<void> {
    const process = this.process(execId);
    assertAllowed(process.state, 'delete', `exec ${execId}`);
    await process.published;
    process.io.close();
    this.#execs.delete(execId);
  }

  /**
   * Removes everything of an exited container. Afterwards none of its disks is in use.
   * @throws RunvError FailedPrecondition while it runs
   */
  delete(): Promise<void> {
    return this.#oneByOne(async () => {
      if (this.#init.running) {
        throw new RunvError(Code.FailedPrecondition, `container ${this.id} has not exited`);
      }
      // nothing is left but what a shared pid namespace kept alive
      this.#killAll(SIGKILL);
      await this.#init.published;
      this.#oom?.close();
      for (const exec of this.#execs.values()) {
        // one that is being started fails, now that the container is gone
        await Promise.resolve(exec).then(
          ({ io }) => io.close(),
          () => undefined,
        );
      }
      await this.#teardown.run();
      this.#log.info({}, 'container removed');
    });
  }

  /** @throws RunvError NotFound */
  process(execId: string): ContainerProcess {
    if (execId === '') return this.#init;
    const exec = this.#execs.get(execId);
    if (exec instanceof ContainerProcess) return exec;
    throw new RunvError(Code.NotFound, `container ${this.id} has no exec ${execId}`);
  }

  #follow(
    execId: string,
    state: { kind: 'created' | 'running'; pid: number },
    io: ProcessIo,
    beforeExit: () => Promise<unknown>,
  ): ContainerProcess {
    const { reaper, events } = this.#env;
    return new ContainerProcess(execId, state, io, reaper.claim(state.pid), {
      beforeExit,
      log: this.#log,
      publish: (exit) => events.push({ exit: { containerId: this.id, execId, ...exit } }),
    });
  }

  /** Signals every process of the container. @returns how many there were */
  #killAll(signal: number): number {
    const pids = cgroupPids(this.#cgroup);
    if (pids.length === 0) return 0;
    if (signal === SIGKILL) {
      // none can be forked past it, and frozen ones die too
      writeFileSync(join(this.#cgroup, 'cgroup.kill'), '1');
      return pids.length;
    }
    for (const pid of pids) {
      try {
        kill(pid, signal);
      } catch (e) {
        if (!(e instanceof SysError) || e.errno !== errnos.ESRCH) throw e;
      }
    }
    return pids.length;
  }

  #assertMay(op: ProcessOp): void {
    assertAllowed(this.#init.state, op, `container ${this.id}`);
  }

  #assertRunning(what: string): void {
    if (this.#init.running) return;
    throw new RunvError(Code.FailedPrecondition, `cannot ${what} container ${this.id}: it is gone`);
  }

  #oneByOne<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(operation);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** Waits for the report of an exec's exit, if it comes to start. */
async function published(exec: ContainerProcess | Promise<ContainerProcess>): Promise<void> {
  try {
    await (
      await exec
    ).published;
  } catch {
    // it did not start
  }
}
