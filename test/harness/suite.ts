import { mkdir, rm } from 'node:fs/promises';
import { after, afterEach, before, beforeEach, type TestContext } from 'node:test';
import { PrivateContainerd, type RunvKeys } from './containerd.ts';
import type { Ctr } from './ctr.ts';
import { busyboxImage, configuredImage, debianImage, type TestImage } from './image.ts';
import { assertNothingLeft, hostState, type HostState } from './leaks.ts';

const builders = { busybox: busyboxImage, configured: configuredImage, debian: debianImage };

export interface SuiteOptions {
  readonly images?: readonly (keyof typeof builders)[];
  readonly runv?: RunvKeys;
  /** Runs after the images are there; the containers it makes are removed after the last test. */
  readonly prepare?: (suite: Suite) => Promise<void>;
}

/** What the tests of one file share: a containerd with images, and the check that nothing stays. */
export class Suite {
  #containerd: PrivateContainerd | undefined;
  #initial: HostState | undefined;

  get containerd(): PrivateContainerd {
    if (!this.#containerd) throw new Error('the suite has not started');
    return this.#containerd;
  }

  get ctr(): Ctr {
    return this.containerd.ctr;
  }

  async start(options: SuiteOptions): Promise<void> {
    this.#containerd = await PrivateContainerd.start(options.runv);
    const images: TestImage[] = [];
    for (const name of options.images ?? ['busybox']) images.push(await builders[name]());
    for (const image of images) await this.#containerd.import(image);
    this.#initial = hostState(this.#containerd);
    await options.prepare?.(this);
  }

  /** Removes what `prepare` made: that, too, must leave nothing behind. */
  async stop(): Promise<void> {
    if (!this.#containerd) return;
    try {
      for (const id of await this.ctr.containers()) await this.ctr.remove(id);
      if (this.#initial) await assertNothingLeft(this.#containerd, this.#initial);
    } finally {
      await this.#containerd[Symbol.asyncDispose]();
    }
  }
}

/**
 * Gives a test file its own containerd. Every test must leave the machine as it found it, and one
 * that failed shows what containerd and the shim logged meanwhile.
 */
export function suite(options: SuiteOptions = {}): Suite {
  const self = new Suite();
  let state: HostState = new Map();
  let logStart = 0;
  let kept: string[] = [];
  before(async () => {
    await self.start(options);
  });
  beforeEach(async () => {
    logStart = (await self.containerd.log()).length;
    kept = await self.ctr.containers();
    state = hostState(self.containerd);
  });
  afterEach(async (t) => {
    // @types/node does not know it yet: set before the afterEach hooks run
    const failed = (t as TestContext & { error: Error | null }).error !== null;
    try {
      await assertNothingLeft(self.containerd, state);
    } catch (e) {
      // what a failed test left is no second finding, but must not spoil the next test
      await removeAll(self.ctr, kept);
      if (failed) await rm(self.containerd.fifoDir, { recursive: true });
      await mkdir(self.containerd.fifoDir, { recursive: true });
      if (!failed) throw e;
    } finally {
      if (failed) process.stdout.write(excerpt((await self.containerd.log()).slice(logStart)));
    }
  });
  after(async () => {
    await self.stop();
  });
  return self;
}

async function removeAll(ctr: Ctr, kept: readonly string[]): Promise<void> {
  const extra = (await ctr.containers()).filter((id) => !kept.includes(id));
  for (const id of extra) await ctr.remove(id).catch(() => {});
}

/** The last of a log, without what says nothing. */
export function excerpt(log: string): string {
  const lines = log
    .split('\n')
    .filter((line) => !/garbage collect|loading plugin|level=debug msg="event pub/.test(line));
  return ['--- log of containerd and shim', ...lines.slice(-80), '---', ''].join('\n');
}
