/** Milliseconds of one `ctr run`, in order; they add up to the whole. */
export interface Phases {
  /** ctr and containerd until the daemon begins to launch the VMM: `start` and the daemon's own start. */
  readonly shimStart: number;
  /** Until QEMU answers. */
  readonly vmmUp: number;
  /** Until the kernel runs the agent. */
  readonly kernel: number;
  /** Until the agent has answered its first call. */
  readonly agentReady: number;
  /** Until the disks are plugged in, as far as that takes longer than the boot. */
  readonly rootfs: number;
  /** `runc create` in the guest, with the mounts before it. */
  readonly create: number;
  /** `runc start`. */
  readonly processStart: number;
  /** From the exit to the end of ctr: deletion, end of the VM, events, containerd's own work. */
  readonly teardown: number;
}

interface Line {
  readonly time: number;
  readonly msg: string;
  readonly phase?: string;
  readonly elapsedMs?: number;
  readonly line?: string;
}

/**
 * Reads the phases of one run from what its shim logged.
 * @param beganMs when ctr was started, in Unix milliseconds
 * @param tookMs what ctr took
 */
export function phasesOf(log: string, beganMs: number, tookMs: number): Phases {
  const lines = log.split('\n').flatMap((text): Line[] => {
    try {
      return text.startsWith('{') ? [JSON.parse(text) as Line] : [];
    } catch {
      return [];
    }
  });
  const at = (matches: (line: Line) => boolean): number => {
    const found = lines.find(matches);
    if (!found) throw new Error(`a phase is missing in the log:\n${log}`);
    return found.time - beganMs;
  };
  const listens = lines.find((l) => l.line?.includes('"agent listens"'));
  const agentOwnMs = Number(/"sinceStartMs":(\d+)/.exec(listens?.line ?? '')?.[1] ?? 0);
  const vmm = lines.find((l) => l.phase === 'vmm');
  const vmmUpAt = at((l) => l.phase === 'vmm');
  const launched = vmmUpAt - (vmm?.elapsedMs ?? 0);
  const agentAt = at((l) => l.phase === 'agent');
  const kernelAt = listens ? listens.time - beganMs - agentOwnMs : agentAt;
  const rootfsAt = at((l) => l.msg === 'rootfs ready');
  const createdAt = at((l) => l.msg === 'container created');
  const startedAt = at((l) => l.msg === 'container started');
  return {
    shimStart: launched,
    vmmUp: vmmUpAt - launched,
    kernel: kernelAt - vmmUpAt,
    agentReady: agentAt - kernelAt,
    rootfs: rootfsAt - agentAt,
    create: createdAt - rootfsAt,
    processStart: startedAt - createdAt,
    teardown: tookMs - startedAt,
  };
}
