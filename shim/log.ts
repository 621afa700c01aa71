import { writeSync } from 'node:fs';
import { pino } from 'pino';
import { openLogFifo } from './log-fifo.ts';

export type Log = pino.Logger;

/**
 * The shim's log: JSON lines into the FIFO `log` of the bundle, which containerd copies to its own
 * log. A line is dropped when containerd does not read (it may be restarting): logging never waits.
 */
export function openLog(debug: boolean): Log {
  const fd = openLogFifo() ?? 2;
  const destination = {
    write(line: string) {
      try {
        writeSync(fd, line);
      } catch {
        // full pipe: drop
      }
    },
  };
  return pino({ level: debug ? 'debug' : 'info', base: { runtime: 'runv' } }, destination);
}
