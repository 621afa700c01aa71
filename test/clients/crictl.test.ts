import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fetchClient, fetchPage, onTerminal } from '../harness/client.ts';
import { describe as tell, run, start, until, type Outcome } from '../harness/command.ts';
import type { Message } from '../harness/cri-client.ts';
import { eachVersion, idle, type CriSuite } from '../harness/cri.ts';
import { imageNames } from '../harness/image.ts';

const { program, lack } = await fetchClient('crictl');

/** What `crictl inspect` prints of a container. */
interface Inspected {
  readonly status: { readonly state: string; readonly exitCode: number; readonly reason: string };
}
interface InspectedPod {
  readonly status: {
    readonly state: string;
    readonly network: { readonly ip: string };
    readonly runtimeHandler: string;
  };
}

/** crictl on the machine that a suite's containerd is on: its configuration and its network. */
class Crictl {
  readonly #suite: CriSuite;
  #count = 0;

  constructor(suite: CriSuite) {
    this.#suite = suite;
  }

  get #file(): string {
    return join(this.#suite.containerd.dir, 'crictl.yaml');
  }

  async configure(): Promise<void> {
    const settings = {
      'runtime-endpoint': `unix://${this.#suite.containerd.socket}`,
      timeout: 60,
      // there is no registry: images were imported
      'disable-pull-on-run': true,
    };
    const lines = Object.entries(settings).map(([key, value]) => `${key}: ${value}`);
    await writeFile(this.#file, lines.join('\n') + '\n');
  }

  words(...args: string[]): string[] {
    const world = this.#suite.containerd.inItsNetwork();
    return [...world, 'env', `CRI_CONFIG_FILE=${this.#file}`, program, ...args];
  }

  async run(...args: string[]): Promise<Outcome> {
    const [command = '', ...rest] = this.words(...args);
    return await run(command, rest);
  }

  /** Fails unless it succeeds. @returns its stdout without the last line's end */
  async ok(...args: string[]): Promise<string> {
    const outcome = await this.run(...args);
    assert.equal(outcome.code, 0, tell(outcome));
    return outcome.stdout.trimEnd();
  }

  /** Fails unless it fails and says why. */
  async fails(why: RegExp, ...args: string[]): Promise<void> {
    const outcome = await this.run(...args);
    assert.notEqual(outcome.code, 0, tell(outcome));
    assert.match(outcome.stderr, why);
  }

  async #write(name: string, config: Message): Promise<string> {
    const path = join(this.#suite.containerd.dir, `${name}.json`);
    await writeFile(path, JSON.stringify(config));
    return path;
  }

  /** The file that describes a pod. */
  async podFile(more: Message = {}): Promise<string> {
    const config = this.#suite.podConfig(more);
    await mkdir(config['log_directory'] as string, { recursive: true });
    return await this.#write((config['metadata'] as { name: string }).name, config);
  }

  /** The file that describes a container. */
  async containerFile(command: readonly string[], more: Message = {}): Promise<string> {
    const name = `c${(this.#count += 1)}`;
    const image = { image: imageNames.busybox };
    const config = { metadata: { name }, image, command, log_path: `${name}.log`, ...more };
    return await this.#write(name, config);
  }

  async inspect(id: string): Promise<Inspected['status']> {
    return (JSON.parse(await this.ok('inspect', id)) as Inspected).status;
  }

  async untilExited(id: string): Promise<Inspected['status']> {
    return await until(`${id} has exited`, async () => {
      const status = await this.inspect(id);
      return status.state === 'CONTAINER_EXITED' && status;
    });
  }

  async withPod(use: (pod: TypedPod) => Promise<void>, more: Message = {}): Promise<void> {
    const file = await this.podFile(more);
    const id = await this.ok('runp', '--runtime', 'runv', file);
    try {
      await use(new TypedPod(this, id, file));
    } finally {
      await this.ok('stopp', id);
      await this.ok('rmp', id);
    }
  }
}

/** A pod that was made by `crictl runp`. */
class TypedPod {
  readonly #crictl: Crictl;
  readonly id: string;
  readonly file: string;

  constructor(crictl: Crictl, id: string, file: string) {
    this.#crictl = crictl;
    this.id = id;
    this.file = file;
  }

  /** `crictl create` and `crictl start`. */
  async run(command: readonly string[], more: Message = {}): Promise<string> {
    const file = await this.#crictl.containerFile(command, more);
    const id = await this.#crictl.ok('create', this.id, file, this.file);
    await this.#crictl.ok('start', id);
    return id;
  }
}

eachVersion({ lack }, (s) => {
  const crictl = new Crictl(s);
  const crictlTest = (name: string, body: () => Promise<void>): void =>
    void test(name, { skip: lack ?? false, timeout: 240_000 }, body);
  before(async () => {
    if (lack === undefined) await crictl.configure();
  });

  crictlTest('a pod and its container go from runp and create to rm and rmp', async () => {
    const podFile = await crictl.podFile();
    const file = await crictl.containerFile(idle);
    const pod = await crictl.ok('runp', '--runtime', 'runv', podFile);
    assert.match(
      await crictl.ok('pods'),
      new RegExp(`^${pod.slice(0, 13)} .* Ready .* runv$`, 'm'),
    );
    const ofPod = (JSON.parse(await crictl.ok('inspectp', pod)) as InspectedPod).status;
    assert.deepEqual([ofPod.state, ofPod.runtimeHandler], ['SANDBOX_READY', 'runv']);

    const id = await crictl.ok('create', pod, file, podFile);
    assert.equal((await crictl.inspect(id)).state, 'CONTAINER_CREATED');
    assert.equal(await crictl.ok('ps', '-q'), '');
    await crictl.ok('start', id);
    const row = await crictl.ok('ps', '--pod', pod);
    assert.match(row, new RegExp(`^${id.slice(0, 13)} +${imageNames.busybox} .* Running `, 'm'));
    const inside = await crictl.ok('exec', id, 'sh', '-c', 'uname -r; ip -4 addr show eth0');
    assert.match(inside, /-runv$/m);
    assert.ok(inside.includes(`inet ${ofPod.network.ip}/`), inside);
    await crictl.fails(/is running, please stop it first/, 'rm', id);

    await crictl.ok('stop', '--timeout', '60', id);
    const { state, exitCode } = await crictl.inspect(id);
    assert.deepEqual([state, exitCode], ['CONTAINER_EXITED', 0]);
    assert.match(await crictl.ok('ps', '-a'), / Exited /);
    await crictl.ok('rm', id);
    assert.equal(await crictl.ok('ps', '-aq'), '');
    await crictl.ok('stopp', pod);
    assert.match(await crictl.ok('pods'), / NotReady /);
    await crictl.ok('rmp', pod);
    assert.equal(await crictl.ok('pods', '-q'), '');
    await crictl.fails(/failed to find sandbox id/, 'create', pod, file, podFile);
  });

  crictlTest('run makes pod and container, whose logs and status stay to be read', async () => {
    const file = await crictl.containerFile(['sh', '-c', 'echo out; echo err >&2; exit 3']);
    const id = await crictl.ok('run', '--runtime', 'runv', file, await crictl.podFile());
    const { exitCode, reason } = await crictl.untilExited(id);
    assert.deepEqual([exitCode, reason], [3, 'Error']);
    const logs = await crictl.run('logs', id);
    assert.deepEqual([logs.stdout, logs.stderr], ['out\n', 'err\n'], tell(logs));
    const pod = await crictl.ok('pods', '-q');
    await crictl.fails(/is running, please stop it first/, 'rmp', pod);
    await crictl.ok('rmp', '--force', pod);
    assert.equal(await crictl.ok('ps', '-aq'), '');
  });

  crictlTest('exec gives output, input, status and a terminal of the right size', async () => {
    await crictl.withPod(async (pod) => {
      const id = await pod.run(idle);
      const script = 'read line; echo "got $line"; echo err >&2; exit 5';
      const [command = '', ...rest] = crictl.words('exec', '-i', id, 'sh', '-c', script);
      const streamed = await run(command, rest, { stdin: 'a line\n' });
      assert.equal(streamed.stdout, 'got a line\n', tell(streamed));
      assert.match(streamed.stderr, /^err\n[^]*exit code 5/);
      assert.notEqual(streamed.code, 0);
      assert.equal(
        await crictl.ok('exec', '--sync', id, 'hostname'),
        await crictl.ok('exec', id, 'hostname'),
      );
      await crictl.fails(
        /exited with 5: err/,
        'exec',
        '-s',
        id,
        'sh',
        '-c',
        'echo err >&2; exit 5',
      );
      await crictl.fails(/no\/such.*no such file or directory/, 'exec', id, '/no/such');

      const typed = 'tty; read line; until stty size | grep "33 91"; do sleep 0.1; done; exit 3';
      await using terminal = onTerminal(crictl.words('exec', '-it', id, 'sh', '-c', typed));
      await terminal.untilStdout(/\/dev\/pts\/\d+\r\n/);
      terminal.write('\n');
      const outcome = await terminal.outcome;
      assert.match(outcome.stdout, /33 91\r\n[^]*exit code 3/, tell(outcome));
    });
  });

  crictlTest('attach types into a shell, which outlives the one who hung up', async () => {
    await crictl.withPod(async (pod) => {
      const id = await pod.run(['sh'], { stdin: true, tty: true });
      {
        await using terminal = onTerminal(crictl.words('attach', '-it', id));
        terminal.write('A=$((6 * 7)); echo is $A; until stty size | grep 91; do sleep 0.1; done\n');
        await terminal.untilStdout(/is 42\r\n[^]*33 91\r\n/);
      }
      assert.equal((await crictl.inspect(id)).state, 'CONTAINER_RUNNING');
      await using again = onTerminal(crictl.words('attach', '-it', id));
      again.write('echo still $A\n');
      await again.untilStdout(/still 42\r\n/);
      again.write('exit 4\n');
      assert.equal((await crictl.untilExited(id)).exitCode, 4);
      const outcome = await again.outcome;
      assert.equal(outcome.code, 0, tell(outcome));
    });
  });

  crictlTest('logs -f shows lines as they come, and ends with the container', async () => {
    await crictl.withPod(async (pod) => {
      const script = 'echo one; until [ -e /go ]; do sleep 0.1; done; echo two; echo three';
      const id = await pod.run(['sh', '-c', script]);
      const [command = '', ...rest] = crictl.words('logs', '-f', id);
      await using logs = start(command, rest);
      await logs.untilStdout(/^one\n$/);
      await crictl.ok('exec', id, 'touch', '/go');
      const outcome = await logs.outcome;
      assert.equal(outcome.stdout, 'one\ntwo\nthree\n', tell(outcome));
      assert.equal(await crictl.ok('logs', '--tail', '1', id), 'three');
    });
  });

  crictlTest('stats and statsp tell what a container and its pod use', async () => {
    await crictl.withPod(async (pod) => {
      const script = 'dd if=/dev/zero of=/dev/shm/file bs=1M count=16; while :; do :; done';
      const id = await pod.run(['sh', '-c', script]);
      const filled = '[ "$(wc -c </dev/shm/file)" = 16777216 ]';
      await crictl.ok('exec', id, 'sh', '-c', `until ${filled}; do sleep 0.1; done`);
      // the columns: name, CPU %, MEM
      const used = (table: string): [number, number] => {
        const [, cpu, memory] = / (\d+\.\d+) +(\d+\.?\d*)MB/.exec(table) ?? [];
        assert.ok(cpu !== undefined && memory !== undefined, table);
        return [Number(cpu), Number(memory)];
      };
      const [cpu, memory] = used(await crictl.ok('stats', id));
      assert.ok(cpu > 5, `${cpu} %`);
      assert.ok(memory > 16 && memory < 64, `${memory} MB`);
      const [podCpu, podMemory] = used(await crictl.ok('statsp', pod.id));
      assert.ok(podCpu > 5, `${podCpu} %`);
      assert.ok(podMemory > memory, `${podMemory} MB`);
    });
  });

  crictlTest('port-forward leads to what listens on the pod’s loopback', async () => {
    await crictl.withPod(async (pod) => {
      const script =
        'mkdir /www; echo a page >/www/index.html; exec httpd -f -h /www -p 127.0.0.1:80';
      const id = await pod.run(['sh', '-c', script]);
      // crictl ends at a connection that is refused
      const listens = 'until wget -q -O /dev/null http://127.0.0.1/; do sleep 0.1; done';
      await crictl.ok('exec', id, 'sh', '-c', listens);
      const [command = '', ...rest] = crictl.words('port-forward', pod.id, '8080:80');
      await using forward = start(command, rest);
      await forward.untilStdout(/Forwarding from 127\.0\.0\.1:8080 -> 80/);
      // more than one connection, each its own
      for (let n = 0; n < 3; n++) {
        const page = await fetchPage(s.containerd, 'http://127.0.0.1:8080/');
        assert.equal(page.stdout, 'a page\n', tell(page));
      }
    });
  });

  crictlTest('update changes a limit, and stop ends what does not listen', async () => {
    await crictl.withPod(async (pod) => {
      const resources = { memory_limit_in_bytes: 64 << 20 };
      const deaf = ['sh', '-c', 'trap "" TERM; while :; do sleep 1000; done'];
      const id = await pod.run(deaf, { linux: { resources } });
      const limit = async () => await crictl.ok('exec', id, 'cat', '/sys/fs/cgroup/memory.max');
      assert.equal(await limit(), String(64 << 20));
      await crictl.ok('update', '--memory', String(96 << 20), id);
      assert.equal(await limit(), String(96 << 20));
      await crictl.ok('stop', '--timeout', '1', id);
      assert.equal((await crictl.inspect(id)).exitCode, 137);
    });
  });

  crictlTest('what cannot be is refused with a sentence', async () => {
    const runp = ['runp', '--runtime', 'runv'];
    const annotated = await crictl.podFile({ annotations: { 'io.runv.memory_mib': 'lots' } });
    await crictl.fails(
      /annotation io\.runv\.memory_mib must be a whole number/,
      ...runp,
      annotated,
    );
    const security_context = { namespace_options: { network: 2 } };
    const ofHost = await crictl.podFile({ linux: { security_context } });
    await crictl.fails(/host network asked for/, ...runp, ofHost);
    assert.equal(await crictl.ok('pods', '-q'), '');
    await crictl.withPod(async (pod) => {
      const file = await crictl.containerFile(['/no/such/program']);
      const id = await crictl.ok('create', pod.id, file, pod.file);
      await crictl.fails(/\/no\/such\/program.*no such file or directory/, 'start', id);
      const { state } = await crictl.inspect(id);
      assert.equal(state, 'CONTAINER_EXITED');
      await crictl.ok('rm', id);
    });
  });
});
