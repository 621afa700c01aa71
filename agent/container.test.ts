import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Code, RunvError } from '../proto/error.ts';
import { agent } from '../proto/messages.ts';
import { readFrames, streamHello } from '../proto/stdio-stream.ts';
import { becomeSubreaper, peekExitedChild, reapChild } from '../proto/sys.ts';
import { AgentService } from './agent-service.ts';
import { CgroupReader } from './cgroup-stats.ts';
import { Events } from './events.ts';
import { memoryLog } from './fixtures/log.ts';
import { Collector, socketPairs } from './fixtures/sockets.ts';
import type { FileSystems } from './mounts.ts';
import { Reaper } from './reaper.ts';
import { Runc } from './runc.ts';
import { Streams } from './streams.ts';

const directory = mkdtempSync(join(tmpdir(), 'runv-container-'));
const dir = (name: string) => {
  const path = join(directory, name);
  mkdirSync(path, { recursive: true });
  return path;
};
const paths = {
  containers: dir('containers'),
  shared: dir('shared'),
  temp: dir('temp'),
  runcState: dir('runc'),
  runcProgram: join(import.meta.dirname, 'fixtures/fake-runc.mjs'),
  cgroups: dir('cgroups'),
  sysfs: dir('sys'),
};
const pair = socketPairs();
const { log } = memoryLog();
const reaper = new Reaper({ peekExitedChild, reapChild }, log);
const events = new Events(log);
const streams = new Streams(log);
const undone: string[] = [];
let rootError: Error | undefined;
const mounts: FileSystems = {
  root: async (_rootfs, where, undo) => {
    if (rootError) throw rootError;
    undo.add('unmount', () => undone.push(where));
    return join(where, 'rootfs');
  },
  volume: () => Promise.reject(new Error('no volumes')),
  device: () => Promise.reject(new Error('no devices')),
  syncCopy: () => undefined,
};
const runc = new Runc(
  { path: paths.runcProgram, root: paths.runcState, tempDir: paths.temp },
  reaper,
);
const pod = { pidNamespace: () => Promise.reject(new Error('no shared pids')) };
const machine = {
  setClock: () => undefined,
  addEntropy: () => undefined,
  setHostname: () => undefined,
  setSysctl: () => undefined,
};
const service = new AgentService(
  { paths, runc, reaper, streams, mounts, pod, cgroupReader: new CgroupReader(), events, log },
  machine,
  () => undefined,
  'test',
);
const context = { signal: new AbortController().signal, metadata: new Map() };
const exits = events.subscribe(context.signal);
const nextExit = async () => ((await exits.next()).value as agent.IEvent).exit;

before(() => {
  becomeSubreaper();
  process.on('SIGCHLD', reaper.collect);
});
after(() => {
  process.off('SIGCHLD', reaper.collect);
  rmSync(directory, { recursive: true });
});

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const decode = <T>(type: { encode(m: object): Uint8Array; decode(b: Uint8Array): T }, m: object) =>
  type.decode(type.encode(m));
const create = (containerId: string, args: string[], more: object = {}) =>
  service.CreateContainer(
    decode(agent.CreateContainerRequest, {
      containerId,
      spec: json({
        process: { args },
        root: {},
        linux: { namespaces: [{ type: 'pid' }] },
      }),
      ...more,
    }),
    context,
  );
const exec = (containerId: string, execId: string, args: string[]) =>
  service.StartExec(
    decode(agent.StartExecRequest, { containerId, execId, process: json({ args }) }),
    context,
  );
const signal = (containerId: string, number: number, execId = '') =>
  service.Signal({ containerId, execId, signal: number, all: false });
const remove = (containerId: string, execId = '') => service.Delete({ containerId, execId });

describe('container', () => {
  it('lives from creation to removal, and leaves nothing', async () => {
    const [here, there] = await pair();
    here.write(streamHello(1));
    await streams.accept(there);
    const out = new Collector();
    void readFrames(here, out);
    const { pid } = await create('c1', ['sh', '-c', 'echo out; exit 7'], { stdio: { stdout: 1 } });
    await service.StartContainer({ containerId: 'c1' });
    const exit = await nextExit();
    assert.deepEqual(
      [exit?.containerId, exit?.execId, exit?.pid, exit?.status],
      ['c1', '', pid, 7],
    );
    // an exit is told after the output, never before
    assert.equal(out.text, 'out\n');
    await remove('c1');
    assert.deepEqual(undone.splice(0), [join(paths.containers, 'c1')]);
    assert.equal(existsSync(join(paths.containers, 'c1')), false);
    assert.equal(existsSync(join(paths.runcState, 'c1')), false);
  });

  it('fails to be created with what runc says, and leaves nothing', async () => {
    await assert.rejects(create('c2', ['missing']), {
      code: Code.Unknown,
      message:
        'OCI runtime create failed: unable to start: exec: "missing": executable file not found in $PATH',
    });
    assert.equal(undone.splice(0).length, 1);
    assert.equal(existsSync(join(paths.containers, 'c2')), false);
    assert.equal(existsSync(join(paths.runcState, 'c2')), false);
    // so that the id is free again
    rootError = new RunvError(Code.DataLoss, 'damaged');
    await assert.rejects(create('c2', ['true']), { code: Code.DataLoss });
    rootError = undefined;
    assert.equal(existsSync(join(paths.containers, 'c2')), false);
  });

  it('knows what is legal when', async () => {
    await create('c3', ['sleep', '1000']);
    await assert.rejects(create('c3', ['true']), { code: Code.AlreadyExists });
    await assert.rejects(exec('c3', 'e', ['true']), { code: Code.FailedPrecondition });
    await assert.rejects(remove('c3'), { code: Code.FailedPrecondition });
    await service.StartContainer({ containerId: 'c3' });
    await assert.rejects(async () => service.StartContainer({ containerId: 'c3' }), {
      code: Code.FailedPrecondition,
    });
    await service.Pause({ containerId: 'c3' });
    await assert.rejects(service.Pause({ containerId: 'c3' }), { code: Code.FailedPrecondition });
    await assert.rejects(exec('c3', 'e', ['true']), { code: Code.FailedPrecondition });
    await service.Resume({ containerId: 'c3' });
    await service.Update({ containerId: 'c3', resources: json({ cpu: { shares: 2, cpus: '7' } }) });
    assert.equal(
      readFileSync(join(paths.runcState, 'c3/resources'), 'utf8'),
      '{"cpu":{"shares":2}}',
    );
    const size = { containerId: 'c3', execId: '', width: 80, height: 24 };
    assert.throws(() => service.ResizePty(size), { code: Code.FailedPrecondition });
    assert.throws(() => service.ResizePty({ ...size, width: 65536 }), {
      code: Code.InvalidArgument,
    });
    assert.throws(() => signal('c3', 65), { code: Code.InvalidArgument });
    signal('c3', 15);
    assert.equal((await nextExit())?.status, 143);
    assert.throws(() => signal('c3', 15), { code: Code.NotFound });
    await assert.rejects(exec('c3', 'e', ['true']), { code: Code.FailedPrecondition });
    await remove('c3');
    await assert.rejects(remove('c3'), { code: Code.NotFound });
    assert.throws(() => signal('c3', 15), { code: Code.NotFound });
  });

  it('runs ten execs at once, each with its own exit', async () => {
    await create('c4', ['sleep', '1000']);
    await service.StartContainer({ containerId: 'c4' });
    const started = await Promise.all(
      Array.from({ length: 10 }, (_, n) => exec('c4', `e${n}`, ['sh', '-c', `exit ${n}`])),
    );
    const statuses = new Map<string, number>();
    for (let n = 0; n < 10; n++) {
      const exit = await nextExit();
      statuses.set(exit?.execId ?? '', exit?.status ?? -1);
      assert.equal(exit?.pid, started[Number(exit?.execId?.slice(1))]?.pid);
    }
    for (let n = 0; n < 10; n++) assert.equal(statuses.get(`e${n}`), n);
    await assert.rejects(exec('c4', 'e0', ['true']), { code: Code.AlreadyExists });
    await remove('c4', 'e0');
    await assert.rejects(remove('c4', 'e0'), { code: Code.NotFound });
    await assert.rejects(exec('c4', 'e0', ['missing']), /executable file not found/);
    await exec('c4', 'e0', ['sleep', '1000']);
    await assert.rejects(remove('c4', 'e0'), { code: Code.FailedPrecondition });
    // the first process's exit comes last
    signal('c4', 9);
    signal('c4', 9, 'e0');
    assert.deepEqual([(await nextExit())?.execId, (await nextExit())?.execId], ['e0', '']);
    await remove('c4');
  });

  for (const id of ['', '../x', 'a/b', '.', 'a'.repeat(77)]) {
    it(`refuses the id ${JSON.stringify(id.slice(0, 10))}`, async () => {
      await assert.rejects(create(id, ['true']), { code: Code.InvalidArgument });
    });
  }

  it('is configured with enough entropy only', async () => {
    const configure = (bytes: number) =>
      service.Configure({
        time: undefined,
        entropy: new Uint8Array(bytes),
        hostname: '',
        sysctls: {},
      });
    assert.throws(() => configure(31), { code: Code.InvalidArgument });
    assert.equal(configure(32).agentVersion, 'test');
  });
});
