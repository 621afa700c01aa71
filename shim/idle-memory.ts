import { trimHeap } from '../proto/sys.ts';

/** A shim is idle when nothing has happened for so long. */
const idleAfterMs = 2000;

interface CollectOptions {
  readonly type: 'major';
  readonly flavor: 'last-resort';
}

/**
 * Gives back what a burst of work has left in V8's and malloc's heaps, a quarter of a shim's own
 * memory: an idle one makes no garbage, so nothing else ever would.
 */
export class IdleMemory {
  #timer: NodeJS.Timeout | undefined;

  /** Something has happened. */
  touch(): void {
    if (this.#timer) this.#timer.refresh();
    else this.#timer = setTimeout(giveBack, idleAfterMs).unref();
  }
}

function giveBack(): void {
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  const { runInNewContext } = process.getBuiltinModule('node:vm');
  // as a flag of the command line it would keep Node from using its compiled start-up code
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: CollectOptions) => void;
  setFlagsFromString('--no-expose-gc');
  collect({ type: 'major', flavor: 'last-resort' });
  trimHeap();
}
