/** The agent as the guest's first process. */
import {
  addEntropy,
  hostCid,
  listenVsock,
  peekExitedChild,
  powerOff,
  reapChild,
  setClock,
  setHostname,
  sync,
} from '../proto/sys.ts';
import { createAgent } from './agent.ts';
import { ScsiDisks } from './disks.ts';
import { finishGuest, guestPaths, mountGuest, setSysctl } from './guest.ts';
import { consoleLine, jsonLog } from './log.ts';

/** docs/agent-protocol.md */
const controlPort = 1024;
const stdioPort = 1025;
const version = '0.1.0';

const log = jsonLog(consoleLine);

/** What was written to volumes is saved, if that does not take longer. */
const lastSyncMs = 2000;

/** The host cannot go on without an agent: it learns by the end of the machine. */
function die(err: unknown): void {
  process.off('uncaughtException', die).off('unhandledRejection', die);
  process.on('uncaughtException', powerOff).on('unhandledRejection', powerOff);
  log.error({ err }, 'agent failed, powering off');
  setTimeout(powerOff, lastSyncMs);
  void sync().finally(powerOff);
}

function main(): void {
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
  mountGuest(log);
  const agent = createAgent({
    paths: guestPaths,
    disks: (newUndo) => new ScsiDisks(guestPaths.sysfs, '/dev', newUndo),
    machine: { addEntropy, setClock, setHostname, setSysctl },
    reaperSystem: { peekExitedChild, reapChild },
    finish: () => finishGuest(log),
    log,
    version,
  });
  process.on('SIGCHLD', agent.childExited);
  listenVsock(controlPort, hostCid, agent.control);
  listenVsock(stdioPort, hostCid, agent.stdio);
  log.info({ version, sinceStartMs: Math.round(performance.now()) }, 'agent listens');
}

main();
