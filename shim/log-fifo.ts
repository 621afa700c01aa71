import { constants, openSync } from 'node:fs';

/** The bundle's log FIFO, if the working directory is a bundle. */
export function openLogFifo(): number | undefined {
  try {
    // Read-write, so that neither the open nor a write fails while containerd is away.
    return openSync('log', constants.O_RDWR | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
