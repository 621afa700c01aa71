import { readFileSync, writeFileSync } from 'node:fs';

/** How willingly the kernel ends a process when memory is short: -1000 (never) to 1000 (first). */
const file = (pid: number) => `/proc/${pid}/oom_score_adj`;
const most = 1000;

/**
 * Makes this process, and what it starts, a little likelier to be ended than the one that started
 * it: containerd must not go before its shims. As runc's shim does (containerd, `AdjustOOMScore`).
 */
export function followParent(): void {
  const score = Number(readFileSync(file(process.ppid), 'utf8'));
  setOomScore(process.pid, Math.min(score + 1, most));
}

/**
 * @param score out of range or no number: the process keeps what it has
 */
export function setOomScore(pid: number, score: number): void {
  try {
    writeFileSync(file(pid), String(score));
  } catch {
    // It has ended, or this root may not lower a score (no CAP_SYS_RESOURCE): go without.
  }
}
