/** What to undo when a sequence of acquisitions fails half-way, or when its result is torn down. */

/** Told of each step that failed; must not throw. */
export type LogUndoFailure = (error: unknown, what: string) => void;

interface Step {
  readonly what: string;
  readonly run: () => unknown;
}

/**
 * ```ts
 * await using undo = new Undo(log);
 * const tap = await createTap(netns, signal);
 * undo.add('remove tap', () => tap.remove());
 * ...
 * this.teardown = undo.move();
 * ```
 */
export class Undo implements AsyncDisposable {
  private readonly logFailure: LogUndoFailure;
  private steps: Step[] = [];
  private running: Promise<void> | undefined;

  constructor(logFailure: LogUndoFailure) {
    this.logFailure = logFailure;
  }

  /**
   * @param what in the imperative, for the log: `remove tap`
   * @param run has its own deadline, if it can hang
   */
  add(what: string, run: () => unknown): void {
    this.steps.push({ what, run });
  }

  /** Hands all steps to a new Undo; leaving this one's scope then undoes nothing. */
  move(): Undo {
    const moved = new Undo(this.logFailure);
    moved.steps = this.steps;
    this.steps = [];
    return moved;
  }

  /**
   * Runs every step once, last added first, each after the one before has ended. A failure is
   * logged and skips nothing. Never rejects; a second call waits for the first.
   */
  async run(): Promise<void> {
    this.running ??= this.runSteps();
    await this.running;
    this.running = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run();
  }

  private async runSteps(): Promise<void> {
    for (let step = this.steps.pop(); step; step = this.steps.pop()) {
      try {
        await step.run();
      } catch (e) {
        this.logFailure(e, step.what);
      }
    }
  }
}
