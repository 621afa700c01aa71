import { Code, RunvError } from '../proto/error.ts';
import type { Undo } from '../proto/undo.ts';
import type { Exit } from '../proto/process-state.ts';
import type { OciSpec } from './oci.ts';
import type { Backend } from './backend.ts';
import { ContainerProcess } from './process.ts';
import type { StdioSpec } from './stdio.ts';

/** A container of a sandbox: its first process, its execs, and what its removal gives back. */
export class Container {
  readonly id: string;
  readonly bundle: string;
  readonly spec: OciSpec;
  readonly init: ContainerProcess;
  /** Who runs it. */
  readonly backend: Backend;
  readonly execs = new Map<string, { process: ContainerProcess; spec: Uint8Array }>();
  /** Pid of the first process in the guest; 0 before it is created. */
  guestPid = 0;
  /**
   * What of it outlives its VM: its scratch disk at most, or something that the guest must let go
   * of, such as a volume, a device, a root that is written in place.
   */
  outliving: 'nothing' | 'scratch' | 'more' = 'more';
  /** Gives back disks, shares and files; runs after the guest has let go of them. */
  teardown: Undo | undefined;

  constructor(id: string, bundle: string, spec: OciSpec, stdio: StdioSpec, backend: Backend) {
    this.id = id;
    this.bundle = bundle;
    this.spec = spec;
    this.backend = backend;
    this.init = new ContainerProcess('', stdio);
  }

  /** @throws RunvError NotFound */
  process(execId: string): ContainerProcess {
    if (execId === '') return this.init;
    const exec = this.execs.get(execId);
    if (!exec) {
      throw new RunvError(Code.NotFound, `container ${this.id} has no exec ${execId}`);
    }
    return exec.process;
  }

  /** @throws RunvError AlreadyExists */
  addExec(execId: string, stdio: StdioSpec, spec: Uint8Array): ContainerProcess {
    this.init.assertMay('exec');
    if (this.execs.has(execId)) {
      throw new RunvError(Code.AlreadyExists, `container ${this.id} has an exec ${execId} already`);
    }
    const process = new ContainerProcess(execId, stdio);
    this.execs.set(execId, { process, spec });
    return process;
  }

  /** Takes the exit of one process; the first process's is published after those of all execs. */
  end(execId: string, exit: Pick<Exit, 'status' | 'exitedAt'>): void {
    const process = execId === '' ? this.init : this.execs.get(execId)?.process;
    if (!process) return;
    const others =
      execId === ''
        ? [...this.execs.values()].filter((e) => e.process.state.kind !== 'created')
        : [];
    void process.end(exit, Promise.all(others.map((e) => e.process.exited)));
  }

  /** Ends every process that has not ended, when the VM has. */
  endAll(exit: Pick<Exit, 'status' | 'exitedAt'>): void {
    for (const [execId, { process }] of this.execs) {
      if (process.state.kind !== 'created') this.end(execId, exit);
    }
    this.end('', exit);
  }
}
