/**
 * `make bench`: what containers and pods cost with runv, and with runc beside it in the same run. Prints
 * a table, and JSON for comparing. Machines are noisy: compare the ratios, not the times.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PrivateContainerd } from '../harness/containerd.ts';
import { checkout, repeats, runcRuntime, runvRuntime } from '../harness/environment.ts';
import { idle } from '../harness/ctr.ts';
import { busyboxImage } from '../harness/image.ts';
import { delay, must } from '../harness/command.ts';
import { allProcesses, pssBytes } from '../harness/proc.ts';
import { qemuPid, shimPid } from '../harness/runtime-processes.ts';
import { median, round, timed } from './figures.ts';
import { Floor } from './floor.ts';
import { phasesOf, type Phases } from './phases.ts';
import { podFigures, type PodFigures } from './pods.ts';

const runs = repeats(7);
/** An idle container's memory is looked at when start-up garbage has been collected. */
const settleMs = 3000;
const outputMiB = 200;
/** So many idle containers share what can be shared, as on a host that is in use. */
const idleContainers = 4;

const runtimes = { runv: runvRuntime, runc: runcRuntime } as const;
type Name = keyof typeof runtimes;

/** Whole `ctr run --rm … /bin/true`, runv, runc and the floor in turn. */
async function startTimes(containerd: PrivateContainerd, floor: Floor) {
  const wall: Record<Name | 'floor', number[]> = { runv: [], runc: [], floor: [] };
  const phases: Phases[] = [];
  for (let n = -1; n < runs; n++) {
    for (const name of ['runv', 'runc'] as const) {
      const before = (await containerd.log()).length;
      const beganMs = Date.now();
      const took = await timed(async () => {
        const outcome = await containerd.ctr.run({
          argv: ['/bin/true'],
          runtime: runtimes[name],
        });
        if (outcome.code !== 0) throw new Error(outcome.stderr);
      });
      if (n < 0) continue; // the first converts the image and fills caches
      wall[name].push(took);
      if (name === 'runv') {
        phases.push(phasesOf((await containerd.log()).slice(before), beganMs, took));
      }
    }
    const took = await timed(() => floor.boot());
    if (n >= 0) wall.floor.push(took);
  }
  const names = Object.keys(phases[0] ?? {}) as (keyof Phases)[];
  const medians = names.map((name) => [name, round(median(phases.map((p) => p[name])))] as const);
  return {
    runvMs: round(median(wall.runv)),
    runcMs: round(median(wall.runc)),
    floorMs: round(median(wall.floor)),
    phasesMs: Object.fromEntries(medians),
  };
}

async function execTimes(containerd: PrivateContainerd, ids: Record<Name, string>) {
  const wall: Record<Name, number[]> = { runv: [], runc: [] };
  for (let n = -1; n < runs * 2; n++) {
    for (const name of ['runv', 'runc'] as const) {
      const took = await timed(() => containerd.ctr.exec(ids[name], ['/bin/true']));
      if (n >= 0) wall[name].push(took);
    }
  }
  return { runvMs: round(median(wall.runv)), runcMs: round(median(wall.runc)) };
}

/** MiB per second out of a process's stdout. */
async function throughput(containerd: PrivateContainerd, ids: Record<Name, string>) {
  const rate: Record<Name, number[]> = { runv: [], runc: [] };
  for (let n = 0; n < 3; n++) {
    for (const name of ['runv', 'runc'] as const) {
      const argv = ['dd', 'if=/dev/zero', 'bs=64k', `count=${outputMiB * 16}`];
      const took = await timed(() =>
        containerd.ctr.exec(ids[name], argv, { onStdout: () => undefined, deadlineMs: 300_000 }),
      );
      rate[name].push((outputMiB * 1000) / took);
    }
  }
  return { runvMiBps: round(median(rate.runv)), runcMiBps: round(median(rate.runc)) };
}

/** Proportional set sizes of what idle containers keep on the host, the mean of one, in MiB. */
function hostMemory(containerd: PrivateContainerd, ids: readonly string[]) {
  const sum = { shimMiB: 0, vmmMiB: 0, helpersMiB: 0 };
  const processes = allProcesses();
  for (const id of ids) {
    const shim = shimPid(containerd, id);
    const vmm = qemuPid(containerd, id);
    const supervisor = processes.find((p) => p.pid === shim)?.parent;
    const helpers = processes.filter(
      (p) => p.pid === supervisor || (p.parent === shim && p.pid !== vmm),
    );
    sum.shimMiB += pssBytes(shim);
    sum.vmmMiB += pssBytes(vmm);
    sum.helpersMiB += helpers.reduce((total, { pid }) => total + pssBytes(pid), 0);
  }
  const mean = (bytes: number) => round(bytes / ids.length / 1024 / 1024);
  return {
    shimMiB: mean(sum.shimMiB),
    vmmMiB: mean(sum.vmmMiB),
    helpersMiB: mean(sum.helpersMiB),
  };
}

/** What the agent says of its own memory when a container has been created. */
async function agentMiB(containerd: PrivateContainerd): Promise<number | undefined> {
  const found = [...(await containerd.log()).matchAll(/rssBytes\\*":(\d+)/g)].at(-1)?.[1];
  return found === undefined ? undefined : round(Number(found) / 1024 / 1024);
}

/** Containers of their own, as `ctr run` makes them. */
async function containerFigures(progress: (text: string) => void) {
  await using floor = await Floor.make();
  // Debug brings the guest's console into the log, and with it the agent's own times.
  await using containerd = await PrivateContainerd.start({ debug: true });
  await containerd.import(await busyboxImage());
  progress(`start times, ${runs} runs of each in turn`);
  const start = await startTimes(containerd, floor);
  progress(`${idleContainers} idle containers`);
  const runv = await containerd.ctr.runDetached({ argv: idle, runtime: runvRuntime });
  const others: string[] = [];
  while (others.length < idleContainers - 1) {
    others.push(await containerd.ctr.runDetached({ argv: idle, runtime: runvRuntime }));
  }
  await delay(settleMs);
  const memory = {
    idleContainers,
    ...hostMemory(containerd, [runv, ...others]),
    agentMiB: await agentMiB(containerd),
  };
  for (const id of others) await containerd.ctr.remove(id);
  const runc = await containerd.ctr.runDetached({ argv: idle, runtime: runcRuntime });
  progress('exec latency');
  const exec = await execTimes(containerd, { runv, runc });
  progress('stdout throughput');
  const stdout = await throughput(containerd, { runv, runc });
  for (const id of [runv, runc]) await containerd.ctr.remove(id);
  return { start, memory, exec, stdout };
}

type Row = readonly [what: string, value: string, beside: string];
const ratio = (a: number, b: number) => `${round(a / b)} x`;

function containerRows({
  start,
  exec,
  stdout,
  memory,
}: Awaited<ReturnType<typeof containerFigures>>): Row[] {
  return [
    ['start: ctr run --rm /bin/true', `${start.runvMs} ms`, `runc ${start.runcMs} ms`],
    [
      'floor: same VM to a one-line init',
      `${start.floorMs} ms`,
      `start is ${ratio(start.runvMs, start.floorMs)} the floor`,
    ],
    ...Object.entries(start.phasesMs).map(([name, ms]): Row => [`  ${name}`, `${ms} ms`, '']),
    ['exec', `${exec.runvMs} ms`, `runc ${exec.runcMs} ms, ${ratio(exec.runvMs, exec.runcMs)}`],
    ['stdout', `${stdout.runvMiBps} MiB/s`, `runc ${stdout.runcMiBps} MiB/s`],
    ['memory: shim (PSS)', `${memory.shimMiB} MiB`, `mean of ${idleContainers} containers`],
    ['memory: VMM with guest (PSS)', `${memory.vmmMiB} MiB`, ''],
    ['memory: vsock proxy, supervisor', `${memory.helpersMiB} MiB`, ''],
    ['memory: agent in the guest (RSS)', `${memory.agentMiB ?? 'unknown'} MiB`, ''],
  ];
}

function podRows({ runv, runc }: Record<Name, PodFigures>): Row[] {
  const row = (what: string, figure: keyof PodFigures, unit: string): Row => {
    const beside = `runc ${runc[figure]} ${unit}, ${ratio(runv[figure], runc[figure])}`;
    return [what, `${runv[figure]} ${unit}`, beside];
  };
  const [, ten, besideTen] = row('', 'tenAtOnceMs', 'ms');
  return [
    row('pod: start to container running', 'startMs', 'ms'),
    ['pod: ten at once', ten, `${besideTen}; ${ratio(runv.tenAtOnceMs, runv.startMs)} one`],
    row('pod: second container', 'secondContainerMs', 'ms'),
    row('pod: exec through CRI', 'execMs', 'ms'),
    row('pod: statistics of 3 containers', 'statsMs', 'ms'),
    row('pod: memory, 1 container (PSS)', 'memory1MiB', 'MiB'),
    row('pod: memory, 3 containers (PSS)', 'memory3MiB', 'MiB'),
    row('pod to pod: TCP', 'tcpMiBps', 'MiB/s'),
    row('pod to pod: requests', 'requestsPerSecond', '/s'),
  ];
}

async function main(): Promise<void> {
  const progress = (text: string) => process.stderr.write(`bench: ${text}\n`);
  const containers = await containerFigures(progress);
  const pods = await podFigures(progress);
  const load = (await must('cat', ['/proc/loadavg'])).trim();
  const result = { runs, load, ...containers, pods };
  const file = join(checkout, 'build', 'bench.json');
  writeFileSync(file, JSON.stringify(result, null, 2) + '\n');
  console.log(JSON.stringify(result));
  for (const [what, value, beside] of [...containerRows(containers), ...podRows(pods)]) {
    console.log(`${what.padEnd(36)}${value.padStart(14)}   ${beside}`);
  }
  console.log(`load average: ${load}; JSON in ${file}`);
}

main().catch((e: unknown) => {
  console.error(`bench: failed: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}`);
  process.exit(1);
});
