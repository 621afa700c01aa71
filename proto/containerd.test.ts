/** Our client against a real containerd: its event service, which is a Go ttrpc server. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { packAny } from './any.ts';
import { Code } from './error.ts';
import { events, google } from './messages.ts';
import { EventsTtrpc } from './services.ts';
import { timestampFromDate } from './timestamp.ts';
import { Client, service, unary } from './ttrpc/index.ts';

/** For everything that waits on the real processes. */
const deadlineMs = 60_000;

const missing = ['containerd', 'ctr'].filter((name) => !isOnPath(name));
if (process.getuid?.() !== 0) missing.push('root');
const skip = missing.length > 0 && `skipped: ${missing.join(', ')}`;

function isOnPath(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Stops a child that we started and waits for its end. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const grace = setTimeout(() => child.kill('SIGKILL'), 5000);
  await exited;
  clearTimeout(grace);
}

const options = { skip, timeout: deadlineMs };

suite('containerd', () => {
  let directory: string;
  let address: string;
  let containerd: ChildProcess | undefined;
  let client: Client;

  before(async () => {
    if (skip) return;
    directory = mkdtempSync(join(tmpdir(), 'runv-containerd-'));
    address = join(directory, 'c.sock');
    const config = [
      'version = 2',
      `root = "${directory}/root"`,
      `state = "${directory}/state"`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `  address = "${address}"`,
    ];
    writeFileSync(join(directory, 'config.toml'), config.join('\n'));
    const child = spawn('containerd', ['--config', join(directory, 'config.toml')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    containerd = child;
    const log: string[] = [];
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => reject(new Error(`containerd ended:\n${log.join('\n')}`)));
      createInterface(child.stderr).on('line', (line) => {
        log.push(line);
        if (line.includes('successfully booted')) resolve();
      });
    });
    client = new Client(connect(`${address}.ttrpc`));
  });

  after(async () => {
    if (!containerd) return;
    await stop(containerd);
    rmSync(directory, { recursive: true, force: true });
  });

  test('takes an event from our client and hands it to a subscriber', options, async (t) => {
    const subscriber = spawn('ctr', ['-a', address, 'events'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => stop(subscriber));
    const seen = new Promise<string>((resolve) =>
      createInterface(subscriber.stdout).once('line', resolve),
    );
    const event = packAny(events.TaskExit, {
      containerId: 'größe',
      id: 'exec-1',
      pid: 4_000_000_000,
      exitStatus: 137,
      exitedAt: timestampFromDate(new Date(1_700_000_000_123)),
    });
    const { Forward } = client.bind(EventsTtrpc);
    const forward = (): Promise<google.Empty> => {
      const timestamp = timestampFromDate(new Date());
      const envelope = { timestamp, namespace: 'runv-test', topic: '/tasks/exit', event };
      return Forward({ envelope }, { timeoutMs: deadlineMs, metadata: { key: 'value' } });
    };
    // nothing tells when ctr has subscribed
    let line: string | undefined;
    while (line === undefined) {
      assert.deepEqual(await forward(), {});
      line = await Promise.race([seen, sleep(50, undefined)]);
    }
    const [, topic, json] = / runv-test (\/\S+) (\{.*\})$/.exec(line) ?? [];
    assert.equal(topic, '/tasks/exit');
    const { exited_at: exitedAt, ...rest } = JSON.parse(json ?? '') as Record<string, unknown>;
    assert.deepEqual(rest, {
      container_id: 'größe',
      id: 'exec-1',
      pid: 4_000_000_000,
      exit_status: 137,
    });
    // 1.6 prints a date, later versions the message's fields
    const parts = { seconds: 1_700_000_000, nanos: 123_000_000 };
    const expected = typeof exitedAt === 'string' ? '2023-11-14T22:13:20.123Z' : parts;
    assert.deepEqual(exitedAt, expected);
  });

  test('answers with the codes that we know', options, async () => {
    const unpublished = service('no.such.Service', { Call: unary(google.Empty, google.Empty) });
    await assert.rejects(client.bind(unpublished).Call({}), { code: Code.Unimplemented });
    const unknown = service(EventsTtrpc.name, { Call: unary(google.Empty, google.Empty) });
    await assert.rejects(client.bind(unknown).Call({}), { code: Code.Unimplemented });
    const noTopic = client.bind(EventsTtrpc).Forward({ envelope: { namespace: 'x', topic: '' } });
    await assert.rejects(noTopic, { code: Code.InvalidArgument });
  });

  test('takes our leave without harm', options, async () => {
    const other = new Client(connect(`${address}.ttrpc`));
    const event = packAny(events.TaskOOM, { containerId: 'c' });
    const timestamp = timestampFromDate(new Date());
    const envelope = { timestamp, namespace: 'x', topic: '/tasks/oom', event };
    await other.bind(EventsTtrpc).Forward({ envelope });
    other.close();
    assert.equal((await other.closed).code, Code.Unavailable);
    await client.bind(EventsTtrpc).Forward({ envelope });
  });

  test('answers a hundred calls at once', options, async () => {
    const { Forward } = client.bind(EventsTtrpc);
    const event = packAny(events.TaskOOM, { containerId: 'c' });
    const calls = Array.from({ length: 100 }, () => {
      const timestamp = timestampFromDate(new Date());
      return Forward({ envelope: { timestamp, namespace: 'x', topic: '/tasks/oom', event } });
    });
    assert.equal((await Promise.all(calls)).length, 100);
  });
});
