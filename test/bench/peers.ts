/**
 * `make bench-kvm`, in the lab: runv, runc and gVisor's runsc at the same work on the same
 * processor. Prints a table of ratios to runc, and JSON; a peer that is not there is named.
 *
 *   peers.ts [RUNSC]    path of runsc
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { delay, describe, must } from '../harness/command.ts';
import { PrivateContainerd } from '../harness/containerd.ts';
import { idle } from '../harness/ctr.ts';
import { checkout, repeats, runcRuntime, runvRuntime } from '../harness/environment.ts';
import { busyboxImage } from '../harness/image.ts';
import { processesOf, pssBytes } from '../harness/proc.ts';
import { median, round, timed } from './figures.ts';

const runs = repeats(5);
/** An idle container's memory is looked at when start-up garbage has been collected. */
const settleMs = 5000;

/** How `ctr run` starts a container of one runtime. */
interface Peer {
  readonly name: string;
  readonly runtime: string;
  readonly flags: readonly string[];
}

interface Figures {
  readonly startMs: number[];
  readonly execMs: number[];
  memoryMiB: number;
}

/** runsc as runc's shim calls it; without a network, since `ctr run` gives the others none. */
async function runscPeer(containerd: PrivateContainerd, runsc: string): Promise<Peer> {
  const wrapper = join(containerd.dir, 'bin', 'runsc');
  const flags = '--network=none --platform=systrap --ignore-cgroups';
  await writeFile(wrapper, `#!/bin/sh\nexec ${runsc} ${flags} "$@"\n`);
  await chmod(wrapper, 0o755);
  return { name: 'runsc', runtime: runcRuntime, flags: ['--runc-binary', wrapper] };
}

/** Starts in turn, so that what else the machine does hits all alike; the first is not counted. */
async function measure(containerd: PrivateContainerd, peers: readonly Peer[]) {
  const { ctr } = containerd;
  const all = new Map<string, Figures>();
  for (const { name } of peers) all.set(name, { startMs: [], execMs: [], memoryMiB: 0 });
  for (let n = -1; n < runs; n++) {
    for (const { name, runtime, flags } of peers) {
      const tookMs = await timed(async () => {
        const outcome = await ctr.run({ argv: ['/bin/true'], runtime, flags });
        if (outcome.code !== 0) throw new Error(describe(outcome));
      });
      if (n >= 0) all.get(name)?.startMs.push(tookMs);
    }
  }
  for (const { name, runtime, flags } of peers) {
    const id = await ctr.runDetached({ argv: idle, runtime, flags: [...flags, '--null-io'] });
    await delay(settleMs);
    const processes = processesOf(containerd.dir, ctr.namespace).filter(
      ({ pid }) => pid !== containerd.pid,
    );
    const bytes = processes.reduce((sum, { pid }) => sum + pssBytes(pid), 0);
    const figures = all.get(name);
    if (figures) figures.memoryMiB = round(bytes / 1024 / 1024);
    for (let n = -1; n < runs; n++) {
      const tookMs = await timed(async () => {
        const outcome = await ctr.exec(id, ['/bin/true']);
        if (outcome.code !== 0) throw new Error(describe(outcome));
      });
      if (n >= 0) figures?.execMs.push(tookMs);
    }
    await ctr.remove(id);
  }
  return all;
}

async function main([runsc]: readonly string[]): Promise<void> {
  await using containerd = await PrivateContainerd.start();
  await containerd.import(await busyboxImage());
  const peers: Peer[] = [
    { name: 'runc', runtime: runcRuntime, flags: [] },
    { name: 'runv', runtime: runvRuntime, flags: [] },
  ];
  if (runsc !== undefined) peers.push(await runscPeer(containerd, runsc));
  const all = await measure(containerd, peers);

  const figures = [...all].map(([name, { startMs, execMs, memoryMiB }]) => ({
    name,
    startMs: round(median(startMs)),
    execMs: round(median(execMs)),
    memoryMiB,
  }));
  const [runc] = figures;
  if (!runc) throw new Error('nothing was measured');
  const ratio = (value: number, of: number) => `${round(value / of)} x`.padStart(9);
  console.log(`\n${runs} runs each in turn; medians, and how many times runc's:`);
  console.log('            start                exec               memory of an idle container');
  for (const { name, startMs, execMs, memoryMiB } of figures) {
    const cells = [
      `${startMs} ms`.padStart(11) + ratio(startMs, runc.startMs),
      `${execMs} ms`.padStart(11) + ratio(execMs, runc.execMs),
      `${memoryMiB} MiB`.padStart(11) + ratio(memoryMiB, runc.memoryMiB),
    ];
    console.log(name.padEnd(6) + cells.join(''));
  }
  if (runsc === undefined) console.log('skipped: runsc: not to be had from Debian’s backports');
  const load = (await must('cat', ['/proc/loadavg'])).trim();
  const json = JSON.stringify({ runs, load, figures });
  console.log(json);
  const file = process.env['RUNV_BENCH_REPORT'] ?? join(checkout, 'build', 'bench-kvm.json');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${json}\n`);
}

main(process.argv.slice(2)).catch((e: unknown) => {
  console.error(`bench: failed: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}`);
  process.exit(1);
});
