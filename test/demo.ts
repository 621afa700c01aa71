/** `make demo`: a Debian container in a microVM, step by step, on a containerd of its own. */
import { release } from 'node:os';
import { PrivateContainerd } from './harness/containerd.ts';
import { runcRuntime, runvRuntime } from './harness/environment.ts';
import { debianImage, imageNames } from './harness/image.ts';

const startedMs = performance.now();
const timings: (readonly [step: string, tookMs: number])[] = [];
const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;

/** Runs one step; prints its name at once and what it took when it is done. */
async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const from = performance.now();
  process.stdout.write(`demo: ${name} … `);
  const alive = setInterval(() => process.stdout.write('.'), 5000);
  try {
    const result = await work();
    const took = performance.now() - from;
    timings.push([name, took]);
    process.stdout.write(`${seconds(took)}\n`);
    return result;
  } finally {
    clearInterval(alive);
  }
}

async function main(): Promise<void> {
  const image = await step('build a small Debian image', debianImage);
  await using containerd = await step('start a containerd of our own', () =>
    PrivateContainerd.start(),
  );
  await step('import the image', () => containerd.import(image));
  const run = async (runtime: string, id: string, ...argv: string[]) =>
    containerd.ctr.must(['run', '--rm', '--runtime', runtime, imageNames.debian, id, ...argv], {
      deadlineMs: 120_000,
    });
  const kernel = await step('run it with runv (converts the image, once)', () =>
    run(runvRuntime, 'first', 'uname', '-r'),
  );
  const os = await step('run it again with runv', () =>
    run(runvRuntime, 'second', 'cat', '/etc/os-release'),
  );
  const shared = await step('run it with runc, to compare', () =>
    run(runcRuntime, 'third', 'uname', '-r'),
  );
  console.log(`
kernel of the host           ${release()}
kernel a runc container sees ${shared.trim()}
kernel a runv container sees ${kernel.trim()}

/etc/os-release of the runv container:
${os.trim().replaceAll(/^/gm, '  ')}

what took how long:`);
  for (const [name, tookMs] of timings) console.log(`  ${seconds(tookMs).padStart(9)}  ${name}`);
  console.log(`  ${seconds(performance.now() - startedMs).padStart(9)}  in all`);
}

main().catch((e: unknown) => {
  console.error(`\ndemo: failed: ${e instanceof Error ? e.message : String(e)}`);
  process.exit(1);
});
