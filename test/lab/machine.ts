import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** What the lab runs as. Software emulation on purpose: it is there on every machine. */
export interface LabMachine {
  /** The folder that `build-image.sh` made. */
  readonly imageDir: string;
  /** The disk with the build under test, see `payload.ts`. */
  readonly payload: string;
  /** For the console's log, the report and what QEMU needs meanwhile; exists and is empty. */
  readonly workDir: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  /** A terminal in place of a stream of output. */
  readonly interactive: boolean;
  /** Counts instructions instead of time: the lab's clock then stands still while its host does. */
  readonly countInstructions: boolean;
}

const kernelWords = [
  'console=ttyS0 loglevel=5 panic=-1',
  // an emulated processor does not speculate, and its clock is the host's
  'mitigations=off tsc=reliable no_timer_check nowatchdog audit=0 apparmor=0',
];

/** QEMU's command line. Pure: the same input gives the same words. */
export function labArgs(lab: LabMachine): string[] {
  const file = (name: string) => join(lab.workDir, name);
  const port = (name: string) => [
    ...['-chardev', `file,id=${name},path=${file(name)}`],
    ...['-device', `virtserialport,chardev=${name},name=${name}`],
  ];
  return [
    ...['-name', 'runv-lab', '-nodefaults', '-no-user-config', '-display', 'none'],
    // counting instructions needs one thread for all processors
    ...['-accel', `tcg,thread=${lab.countInstructions ? 'single' : 'multi'}`],
    ...(lab.countInstructions ? ['-icount', 'shift=1'] : []),
    // each level of page tables counts twice for a guest in the guest
    ...['-M', 'q35', '-cpu', 'max,-la57', '-smp', String(lab.cpus), '-m', `${lab.memoryMiB}M`],
    ...['-kernel', join(lab.imageDir, 'vmlinuz'), '-initrd', join(lab.imageDir, 'initrd')],
    ...['-append', kernelWords.join(' ')],
    // what is written goes to a file that vanishes with QEMU; a reboot of the lab finds it
    ...['-drive', `if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=${root(lab)}`],
    ...['-device', 'virtio-blk-pci,drive=root'],
    ...['-drive', `if=none,id=payload,format=raw,readonly=on,file=${lab.payload}`],
    ...['-device', 'virtio-blk-pci,drive=payload'],
    ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...['-chardev', `file,id=console,path=${file('console.log')}`, '-serial', 'chardev:console'],
    // the shell's keys, Ctrl-C among them, are the lab's
    ...['-chardev', 'stdio,id=output,signal=off'],
    ...(lab.interactive
      ? ['-device', 'virtconsole,chardev=output']
      : ['-device', 'virtserialport,chardev=output,name=output']),
    ...port('status'),
    ...port('report'),
  ];
}

const root = (lab: LabMachine) => join(lab.imageDir, 'root.ext4');

/** A lab that takes longer to its first line than this hangs; it takes 5 s on an idle machine. */
const bootTimeoutMs = 120_000;
const upLine = 'lab: up\n';

/** What the lab itself takes of its host, beside the machine's memory. */
const spareMiB = 1024;
const diskMiB = 6 * 1024;

/**
 * Looks before it is started whether the host has what the lab takes.
 * @returns one line that says what is missing
 */
export function lacks(lab: Pick<LabMachine, 'memoryMiB' | 'workDir'>): string | undefined {
  const meminfo = readFileSync('/proc/meminfo', 'utf8');
  const available = Number(/^MemAvailable:\s+(\d+) kB/m.exec(meminfo)?.[1] ?? 0) >> 10;
  const needed = lab.memoryMiB + spareMiB;
  if (available < needed) {
    return `too little memory: ${needed} MiB needed, ${available} MiB available (RUNV_LAB_MEMORY_MIB asks for less)`;
  }
  const { bavail, bsize } = statfsSync(lab.workDir);
  const free = Math.floor((bavail * bsize) / (1 << 20));
  if (free < diskMiB) {
    return `too little disk: ${diskMiB} MiB needed, ${free} MiB free on the file system of ${lab.workDir}`;
  }
  return undefined;
}

/** How a run of the lab ended: the status of its command, or why there is none. */
export type LabEnd =
  | { readonly kind: 'ended'; readonly status: number }
  | { readonly kind: 'cut' | 'died'; readonly why: string };

/**
 * Boots the lab, shows what its command prints, and waits for the end. However it ends, QEMU is
 * gone when this returns.
 * @param deadlineMs from the start; a lab that runs longer is cut
 * @param signal cuts it, too
 */
export async function runLab(
  lab: LabMachine,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<LabEnd> {
  // QEMU dies with this process, however that dies
  const words = ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...labArgs(lab)];
  const child = spawn('setpriv', words, {
    // the end of standard input would close the port that stands for standard output, too
    stdio: lab.interactive ? 'inherit' : ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: lab.workDir },
  });
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  let why: string | undefined;
  const cut = (reason: string) => {
    why ??= reason;
    child.kill('SIGKILL');
  };
  const timers = [setTimeout(() => cut(`did not end within ${minutes(deadlineMs)}`), deadlineMs)];
  const interrupt = () => cut('was interrupted');
  signal.addEventListener('abort', interrupt, { once: true });
  if (signal.aborted) interrupt(); // while the disk was made

  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  if (child.stdout) {
    const boot = setTimeout(
      () => cut(`did not boot within ${bootTimeoutMs / 1000} s`),
      bootTimeoutMs,
    );
    timers.push(boot);
    // written at once: whoever reads it afterwards finds it whole
    const log = openSync(join(lab.workDir, 'output.log'), 'w');
    let head = '';
    child.stdout.on('data', (chunk: Buffer) => {
      if (!head.includes(upLine)) {
        head += chunk.toString();
        if (head.includes(upLine)) clearTimeout(boot);
      }
      process.stdout.write(chunk);
      writeSync(log, chunk);
    });
    child.stdout.on('close', () => closeSync(log));
  }
  const [code, killedBy] = await exited;
  for (const timer of timers) clearTimeout(timer);
  // what is still in the pipe; never waits for long, as nobody else has its other end
  if (child.stdout) await Promise.race([finished(child.stdout).catch(() => {}), sleep(2000)]);
  if (why !== undefined) return { kind: 'cut', why };
  const [status = ''] = readIfThere(join(lab.workDir, 'status')).split('\n');
  if (/^\d+$/.test(status)) return { kind: 'ended', status: Number(status) };
  const how = `QEMU ${killedBy === null ? `ended with status ${code}` : `was killed by ${killedBy}`}`;
  const last = complaint.trim().split('\n').at(-1) ?? '';
  return { kind: 'died', why: last === '' ? how : `${how}: ${last}` };
}

function minutes(ms: number): string {
  return ms < 120_000 ? `${ms / 1000} s` : `${Math.round(ms / 60_000)} min`;
}

export function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The last lines that the lab's kernel printed. */
export function consoleTail(workDir: string, lines = 15): string {
  return readIfThere(join(workDir, 'console.log')).trimEnd().split('\n').slice(-lines).join('\n');
}
