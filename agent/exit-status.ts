/**
 * What a shell reports for a wait status: the exit code, or 128 + signal.
 * Source: waitpid(2), WIFEXITED and its kin in bits/waitstatus.h.
 */
export function exitStatus(waitStatus: number): number {
  const signal = waitStatus & 0x7f;
  return signal === 0 ? (waitStatus >> 8) & 0xff : 128 + signal;
}
