import { basename } from 'node:path';
import { delay } from '../harness/command.ts';
import { repeats } from '../harness/environment.ts';
import { CriSuite, type Handler } from '../harness/cri.ts';
import { imageNames } from '../harness/image.ts';
import { networkOf } from '../harness/pod-network.ts';
import { processesOf, pssBytes } from '../harness/proc.ts';
import { median, round, timed } from './figures.ts';

const runs = repeats(3);
const callsEach = 9;
const podsAtOnce = 10;
const transferSeconds = 3;
const port = 7000;
/** Memory is looked at when start-up garbage has been collected. */
const settleMs = 3000;

const handlers: readonly Handler[] = ['runv', 'runc'];

/** What a pod costs with one runtime: medians, in milliseconds where the name does not say else. */
export interface PodFigures {
  /** RunPodSandbox, CreateContainer, StartContainer. */
  readonly startMs: number;
  /** CreateContainer and StartContainer in a pod where one runs already. */
  readonly secondContainerMs: number;
  readonly execMs: number;
  /** ListContainerStats for a pod of three containers. */
  readonly statsMs: number;
  /** From the first call to the last answer. */
  readonly tenAtOnceMs: number;
  /** Proportional set size of all host processes of an idle pod with 1 and with 3 containers. */
  readonly memory1MiB: number;
  readonly memory3MiB: number;
  /** From one pod to another over TCP. */
  readonly tcpMiBps: number;
  /** One byte to the other pod and back, over one TCP connection. */
  readonly requestsPerSecond: number;
}

/** Takes what comes on a connection: after `s` counts it, after `e` sends each piece back. */
const server = `
  use Socket;
  socket(L, PF_INET, SOCK_STREAM, 0); setsockopt(L, SOL_SOCKET, SO_REUSEADDR, 1);
  bind(L, sockaddr_in(${port}, INADDR_ANY)) or die $!; listen(L, 5);
  while (accept(C, L)) {
    setsockopt(C, IPPROTO_TCP, 1, 1); sysread(C, $mode, 1); $sum = 0;
    while ($n = sysread(C, $data, 1 << 18)) { $sum += $n; syswrite(C, $data) if $mode eq "e" }
    syswrite(C, $sum) if $mode eq "s"; close(C);
  }`;

/** Prints bytes or requests in a second. */
const client = `
  use Socket; use Time::HiRes "time";
  ($host, $mode) = @ARGV;
  socket(C, PF_INET, SOCK_STREAM, 0); connect(C, sockaddr_in(${port}, inet_aton($host))) or die $!;
  setsockopt(C, IPPROTO_TCP, 1, 1); syswrite(C, $mode);
  $from = time; $data = "x" x (1 << 18); $count = 0;
  while (time - $from < ${transferSeconds}) {
    if ($mode eq "s") { syswrite(C, $data) or die $! }
    else { syswrite(C, "x"); sysread(C, $data, 1) or die $!; $count++ }
  }
  if ($mode eq "s") { shutdown(C, 1); sysread(C, $count, 100) or die $! }
  print int($count / (time - $from));`;

type Samples = Record<keyof PodFigures, number[]>;

const noSamples = (): Samples => ({
  startMs: [],
  secondContainerMs: [],
  execMs: [],
  statsMs: [],
  tenAtOnceMs: [],
  memory1MiB: [],
  memory3MiB: [],
  tcpMiBps: [],
  requestsPerSecond: [],
});

/** Both runtimes in turn, through CRI. */
export async function podFigures(
  progress: (text: string) => void,
): Promise<Record<Handler, PodFigures>> {
  const samples: Record<Handler, Samples> = { runv: noSamples(), runc: noSamples() };
  const suite = new CriSuite();
  try {
    await suite.start({ debian: true });
    for (let n = -1; n < runs; n++) {
      progress(n < 0 ? 'pods: filling caches' : `pods: one alone, ${n + 1} of ${runs}`);
      // the first converts the image and fills caches
      for (const handler of handlers) {
        await onePod(suite, handler, n < 0 ? noSamples() : samples[handler]);
      }
    }
    for (let n = 0; n < runs; n++) {
      progress(`pods: ${podsAtOnce} at once, ${n + 1} of ${runs}`);
      for (const handler of handlers) {
        samples[handler].tenAtOnceMs.push(await timed(() => manyPods(suite, handler)));
        await suite.removeAllPods();
      }
    }
    progress('pods: network');
    for (const handler of handlers) await transfers(suite, handler, samples[handler]);
  } finally {
    await suite.stop();
  }
  return { runv: medians(samples.runv), runc: medians(samples.runc) };
}

async function onePod(suite: CriSuite, handler: Handler, samples: Samples): Promise<void> {
  const memoryMiB = idleMemory(suite);
  const from = performance.now();
  const pod = await suite.runPod({}, handler);
  const id = await pod.run();
  samples.startMs.push(performance.now() - from);
  samples.memory1MiB.push(await memoryMiB());
  samples.secondContainerMs.push(await timed(() => pod.run()));
  await pod.run();
  samples.memory3MiB.push(await memoryMiB());
  for (let n = 0; n < callsEach; n++) {
    const filter = { pod_sandbox_id: pod.id };
    samples.execMs.push(await timed(() => pod.exec(id, ['true'])));
    samples.statsMs.push(await timed(() => suite.client.call('ListContainerStats', { filter })));
  }
  await suite.removeAllPods();
}

async function manyPods(suite: CriSuite, handler: Handler): Promise<void> {
  const one = async () => (await suite.runPod({}, handler)).run();
  await Promise.all(Array.from({ length: podsAtOnce }, one));
}

async function transfers(suite: CriSuite, handler: Handler, samples: Samples): Promise<void> {
  const perl = (script: string) => ['perl', '-e', script];
  const image = imageNames.debian;
  const serving = await suite.runPod({}, handler);
  await serving.run({ image, command: perl(server) });
  const { addresses } = await networkOf(suite, serving);
  const [address = ''] = addresses;
  const calling = await suite.runPod({}, handler);
  const id = await calling.run({ image, command: ['sleep', '1000'] });
  for (let n = 0; n < runs; n++) {
    for (const mode of ['s', 'e']) {
      const { code, stdout, stderr } = await calling.exec(id, [...perl(client), address, mode]);
      if (code !== 0) throw new Error(`the transfer ended with ${code}: ${stderr}`);
      if (mode === 's') samples.tcpMiBps.push(Number(stdout) / (1 << 20));
      else samples.requestsPerSecond.push(Number(stdout));
    }
  }
  await suite.removeAllPods();
}

/** @returns what looks how much the processes that have come since take, when they are idle */
function idleMemory({ containerd }: CriSuite): () => Promise<number> {
  const all = () => processesOf(containerd.dir, basename(containerd.dir));
  const before = new Set(all().map(({ pid }) => pid));
  return async () => {
    await delay(settleMs);
    const bytes = all()
      .filter(({ pid }) => !before.has(pid))
      .reduce((sum, { pid }) => sum + pssBytes(pid), 0);
    return bytes / 1024 / 1024;
  };
}

function medians(samples: Samples): PodFigures {
  const entries = Object.entries(samples).map(([name, values]) => [name, round(median(values))]);
  return Object.fromEntries(entries) as PodFigures;
}
