import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { fetchClient, fetchPage, onTerminal } from '../harness/client.ts';
import { describe, must, run, start, until, type Outcome } from '../harness/command.ts';
import { PrivateContainerd } from '../harness/containerd.ts';
import { runvRuntime } from '../harness/environment.ts';
import { busyboxImage, imageNames, nginxImage } from '../harness/image.ts';
import { assertNothingLeft, hostState, type HostState } from '../harness/leaks.ts';
import { fromSuite } from '../harness/cri.ts';

let containerd: PrivateContainerd;
let state: HostState = new Map();
let world: string[] = [];

/** `nerdctl`, in the network namespace that is the containerd's machine. */
const words = (...args: string[]): string[] => [...world, program, ...args];

async function nerdctl(...args: string[]): Promise<Outcome> {
  const [command = '', ...rest] = words(...args);
  return await run(command, rest);
}

/** As `nerdctl`; fails unless it succeeds. @returns its stdout */
async function ok(...args: string[]): Promise<string> {
  const outcome = await nerdctl(...args);
  assert.equal(outcome.code, 0, describe(outcome));
  return outcome.stdout;
}

const runv = ['--runtime', runvRuntime];
const iptables = await run('sh', ['-c', 'command -v iptables']);
const { program, lack } =
  iptables.code === 0 ? await fetchClient('nerdctl') : { program: '', lack: 'iptables' };
const nerdctlTest = (name: string, body: () => Promise<void>): void =>
  void test(name, { skip: lack ?? false, timeout: 240_000 }, body);

before(async () => {
  if (lack !== undefined) return;
  const cni = await fromSuite('bookworm', 'containernetworking-plugins');
  containerd = await PrivateContainerd.start({}, { ownNetwork: true });
  const { dir, socket } = containerd;
  const settings = {
    address: socket,
    namespace: containerd.ctr.namespace,
    cni_path: join(cni, 'usr/lib/cni'),
    cni_netconfpath: join(dir, 'cni'),
    data_root: join(dir, 'nerdctl'),
    cgroup_manager: 'cgroupfs',
  };
  const file = join(dir, 'nerdctl.toml');
  const lines = Object.entries(settings).map(([key, value]) => `${key} = "${value}"`);
  await writeFile(file, lines.join('\n') + '\n');
  world = [...containerd.inItsNetwork(), 'env', `NERDCTL_TOML=${file}`];
  for (const image of [await busyboxImage(), await nginxImage()]) await containerd.import(image);
  // makes the bridge, which stays
  await ok('run', '--rm', ...runv, imageNames.busybox, 'true');
});
after(async () => {
  if (lack !== undefined) return;
  await containerd[Symbol.asyncDispose]();
});
beforeEach(() => {
  if (lack !== undefined) return;
  state = hostState(containerd);
});
afterEach(async () => {
  if (lack !== undefined) return;
  for (const id of (await ok('ps', '-aq')).split('\n')) if (id !== '') await ok('rm', '-f', id);
  await assertNothingLeft(containerd, state);
});

nerdctlTest('run gives a container an address, names and a way out', async () => {
  const script = 'ip -o -4 addr show eth0; cat /etc/hosts; hostname; ping -c 1 -W 5 10.4.0.1';
  const out = await ok(
    'run',
    '--rm',
    '--hostname',
    'here',
    ...runv,
    imageNames.busybox,
    'sh',
    '-c',
    script,
  );
  assert.match(out, /eth0 +inet 10\.4\.0\.\d+\/24/);
  assert.match(out, /10\.4\.0\.\d+\s+here /);
  assert.match(out, /^here$/m);
  assert.match(out, / 0% packet loss/);
});

nerdctlTest('-p leads to nginx, and logs -f shows who came', async () => {
  const id = (await ok('run', '-d', '-p', '8080:80', ...runv, imageNames.nginx)).trim();
  const answers = async () => (await fetchPage(containerd, 'http://127.0.0.1:8080/')).code === 0;
  await until('nginx answers', answers);
  assert.match((await fetchPage(containerd, 'http://127.0.0.1:8080/')).stdout, /Welcome to nginx/);
  const [command = '', ...rest] = words('logs', '-f', id);
  await using logs = start(command, rest);
  await logs.untilStdout(/GET \/ HTTP/);
  const stats = await ok('stats', '--no-stream', id);
  assert.match(stats, /\d[kKM]i?B \/ \d.*B +\d.*[kKM]i?B \/ /, stats);
  assert.match(await ok('exec', id, 'cat', '/proc/1/comm'), /nginx/);
  await ok('stop', id);
  assert.match(await ok('ps', '-a'), /Exited \(0\)/);
});

nerdctlTest('--network none gives lo alone', async () => {
  const out = await ok(
    'run',
    '--rm',
    '--network',
    'none',
    ...runv,
    imageNames.busybox,
    'ls',
    '/sys/class/net',
  );
  assert.equal(out, 'lo\n');
});

nerdctlTest('the host’s network is refused with a sentence', async () => {
  const outcome = await nerdctl(
    'run',
    '--rm',
    '--net',
    'host',
    ...runv,
    imageNames.busybox,
    'true',
  );
  assert.notEqual(outcome.code, 0);
  assert.match(outcome.stderr, /host network asked for/);
});

nerdctlTest('-it has a terminal', async () => {
  const argv = ['sh', '-c', 'tty; read x; until stty size | grep "33 91"; do sleep 0.1; done'];
  await using terminal = onTerminal(
    words('run', '--rm', '-it', ...runv, imageNames.busybox, ...argv),
  );
  await terminal.untilStdout(/\/dev\/pts\/0/);
  terminal.write('\n');
  const outcome = await terminal.outcome;
  assert.match(outcome.stdout, /33 91/, describe(outcome));
});

nerdctlTest('volumes, limits, environment, user and working directory hold', async () => {
  const volume = join(containerd.dir, 'volume');
  await mkdir(volume);
  await writeFile(join(volume, 'in'), 'given');
  const script =
    'cat in; echo back >out; echo "$A"; id -u; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max';
  const flags = ['-v', `${volume}:/v`, '-w', '/v', '-e', 'A=b', '--memory', '64m', '--cpus', '0.5'];
  const out = await ok('run', '--rm', ...flags, ...runv, imageNames.busybox, 'sh', '-c', script);
  assert.equal(out, 'givenb\n0\n67108864\n50000 100000\n');
  assert.equal(await readFile(join(volume, 'out'), 'utf8'), 'back\n');
});

nerdctlTest('kill, restart and rm do what they say', async () => {
  const argv = ['sh', '-c', 'echo up; sleep 100000; :'];
  const id = (await ok('run', '-d', ...runv, imageNames.busybox, ...argv)).trim();
  await ok('exec', id, 'sh', '-c', 'echo written >/kept');
  await ok('restart', '-t', '1', id);
  assert.equal((await ok('exec', id, 'cat', '/proc/1/comm')).trim(), 'sh');
  assert.equal(await ok('exec', id, 'cat', '/kept'), 'written\n');
  await ok('kill', id);
  await until('it has exited', async () => (await ok('ps', '-a')).includes('Exited (137)'));
  assert.match(
    await ok('top', (await ok('run', '-d', ...runv, imageNames.busybox, ...argv)).trim()),
    /PID/,
  );
  await ok('rm', id);
});

nerdctlTest('two containers of one network reach each other by address', async () => {
  const server = (await ok('run', '-d', ...runv, imageNames.nginx)).trim();
  const address = (await ok('exec', server, 'hostname', '-I')).trim();
  const get = [
    'sh',
    '-c',
    `for n in 1 2 3 4 5; do wget -q -O - http://${address}/ && break; sleep 1; done`,
  ];
  assert.match(await ok('run', '--rm', ...runv, imageNames.busybox, ...get), /Welcome to nginx/);
});

/** Two services of a project: the one asks the other by its name. */
const project = `
services:
  web:
    image: ${imageNames.nginx}
    pull_policy: never
    runtime: ${runvRuntime}
    ports: ["8081:80"]
  visitor:
    image: ${imageNames.busybox}
    pull_policy: never
    runtime: ${runvRuntime}
    depends_on: [web]
    volumes: ["seen:/seen"]
    command: ["sh", "-c", "until wget -O /seen/page http://web/; do sleep 1; done; exec sleep 100000"]
volumes:
  seen: {}
`;

async function bridges(): Promise<string> {
  const [command = '', ...rest] = containerd.inItsNetwork();
  const lines = await must(command, [...rest, 'ip', '-o', 'link', 'show', 'type', 'bridge']);
  return lines.replaceAll(/^\d+: (\w[^:]*):.*$/gm, '$1');
}

nerdctlTest(
  'the services of a compose project find each other, and down leaves nothing',
  async () => {
    const dir = join(containerd.dir, 'project');
    await mkdir(dir);
    await writeFile(join(dir, 'compose.yaml'), project);
    const compose = ['compose', '-f', join(dir, 'compose.yaml')];
    const exec = async (...args: string[]) => await nerdctl(...compose, 'exec', '-T', ...args);
    const page = async () => await fetchPage(containerd, 'http://127.0.0.1:8081/');
    const before = await bridges();
    try {
      await ok(...compose, 'up', '-d');
      await until('the visitor has seen the page', async () => {
        return (await exec('visitor', 'grep', 'Welcome to nginx', '/seen/page')).code === 0;
      });
      assert.match(await ok(...compose, 'logs', 'web'), /web-1 +\|.*GET \/ HTTP/);
      // it came after the one that is told of it
      const known = await exec('web', 'getent', 'hosts', 'visitor');
      assert.match(known.stdout, /^10\.4\.\d+\.\d+ +visitor /, describe(known));
      assert.match((await page()).stdout, /Welcome to nginx/);
      await ok(...compose, 'restart', 'web');
      await until('the visitor sees the page again', async () => {
        const again = await exec('visitor', 'wget', '-q', '-O', '-', 'http://web/');
        return again.stdout.includes('Welcome to nginx');
      });
    } finally {
      await ok(...compose, 'down', '-v');
    }
    assert.equal(await ok('ps', '-aq'), '');
    assert.doesNotMatch(await ok('network', 'ls'), /project/);
    assert.equal(await ok('volume', 'ls', '-q'), '');
    assert.notEqual((await page()).code, 0);
    assert.equal(await bridges(), before);
  },
);
