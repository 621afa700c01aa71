/** The life of one process, a container's first or an exec's, as both sides see it. */
import { Code, RunvError } from './error.ts';
import type { Timestamp } from './gen/google.ts';
import { Status } from './gen/tasktypes.ts';

/** How a process ended. */
export interface Exit {
  /** In the guest's root pid namespace; 0 when it never ran. */
  readonly pid: number;
  /** As a shell reports it: the exit code, or 128 + signal. 0 to 255. */
  readonly status: number;
  readonly exitedAt: Timestamp;
}

export type ProcessState =
  /** An exec has no pid before it is started. */
  | { readonly kind: 'created'; readonly pid: number | undefined }
  | { readonly kind: 'running' | 'paused'; readonly pid: number }
  | { readonly kind: 'stopped' | 'deleted'; readonly exit: Exit };

export type ProcessOp = 'start' | 'exec' | 'pause' | 'resume' | 'kill' | 'delete';

/** The only place that says what is legal when. */
const allowed: Readonly<Record<ProcessState['kind'], readonly ProcessOp[]>> = {
  created: ['start', 'kill', 'delete'],
  running: ['exec', 'pause', 'kill'],
  paused: ['resume', 'kill'],
  stopped: ['delete'],
  deleted: [],
};

export function isAllowed(state: ProcessState, op: ProcessOp): boolean {
  return allowed[state.kind].includes(op);
}

/**
 * @param what names the process, for the message: `container abc`
 * @throws RunvError NotFound when it is deleted, or when there is nothing left to kill: containerd
 *   takes that code for "already gone" and goes on
 * @throws RunvError FailedPrecondition when `op` is illegal otherwise
 */
export function assertAllowed(state: ProcessState, op: ProcessOp, what: string): void {
  if (isAllowed(state, op)) return;
  const gone = state.kind === 'deleted' || (op === 'kill' && state.kind === 'stopped');
  const code = gone ? Code.NotFound : Code.FailedPrecondition;
  throw new RunvError(code, `cannot ${op} ${what}: it is ${state.kind}`);
}

/** 0 before an exec is started. */
export function pidOf(state: ProcessState): number {
  switch (state.kind) {
    case 'created':
      return state.pid ?? 0;
    case 'running':
    case 'paused':
      return state.pid;
    case 'stopped':
    case 'deleted':
      return state.exit.pid;
  }
}

/** containerd.v1.types.Status; containerd does not know deleted processes. */
export function statusOf(state: ProcessState): Status {
  switch (state.kind) {
    case 'created':
      return Status.CREATED;
    case 'running':
      return Status.RUNNING;
    case 'paused':
      return Status.PAUSED;
    case 'stopped':
      return Status.STOPPED;
    case 'deleted':
      return Status.UNKNOWN;
  }
}
