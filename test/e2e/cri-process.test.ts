import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe as tell, until } from '../harness/command.ts';
import type { Message } from '../harness/cri-client.ts';
import { allVersions, eachVersion } from '../harness/cri.ts';

/** CRI's statistics: numbers are wrapped, so that absent is not zero. */
interface Value {
  value: number;
}
interface ContainerStats {
  attributes: { id: string };
  cpu: { usage_core_nano_seconds: Value } | null;
  memory: { working_set_bytes: Value; usage_bytes: Value } | null;
  writable_layer: { used_bytes: Value } | null;
}

interface PodStats {
  linux: {
    cpu: ContainerStats['cpu'];
    memory: ContainerStats['memory'];
    network: { default_interface: { rx_bytes: Value } } | null;
    containers: ContainerStats[];
  };
}

const limits = (resources: Message): Message => ({ resources });

/** gRPC is another way to the same handlers: cri-pod.test.ts goes it. */
const versions = allVersions.filter((version) => version !== '1.7, gRPC');

eachVersion({ versions }, (s, version) => {
  test('ExecSync gives output and status, and ends what takes too long', async () => {
    await s.withPod(async (pod) => {
      const id = await pod.run();
      const result = await pod.exec(id, ['sh', '-c', 'echo out; echo err >&2; exit 7']);
      assert.deepEqual(result, { code: 7, stdout: 'out\n', stderr: 'err\n' });
      await assert.rejects(pod.exec(id, ['sleep', '60'], 1), /timeout|deadline/i);
      await until('the process has ended', async () => {
        return !(await pod.execSh(id, 'ps')).includes('sleep 60');
      });
      const missing = await pod.exec(id, ['/no/such']).catch((e: unknown) => e as Error);
      assert.match((missing as Error).message, /\/no\/such/);
    });
  });

  test('Exec streams both ways, with and without a terminal', async () => {
    await s.withPod(async (pod) => {
      const id = await pod.run();
      const exec = { container_id: id, stdin: true, stdout: true };
      const script = 'read line; echo "got $line"; echo err >&2; exit 5';
      const request = { ...exec, stderr: true, cmd: ['sh', '-c', script] };
      const plain = await s.stream('Exec', request);
      plain.write('a line\n');
      const outcome = await plain.outcome;
      assert.deepEqual(
        [outcome.code, outcome.stdout, outcome.stderr],
        [5, 'got a line\n', 'err\n'],
        tell(outcome),
      );
      await using terminal = await s.stream(
        'Exec',
        { ...exec, tty: true, cmd: ['sh', '-c', 'stty size; read x; stty size; exit 3'] },
        '91x33',
      );
      await terminal.untilStdout(/\r\n/);
      terminal.write('\n');
      const { code, stdout } = await terminal.outcome;
      assert.match(stdout, /33 91\r\n$/);
      assert.equal(code, 3);
    });
  });

  test('Attach reaches the first process, which goes on afterwards', async () => {
    await s.withPod(async (pod) => {
      const id = await pod.run({
        command: ['sh', '-c', 'while read line; do echo "got $line"; done'],
        config: { stdin: true },
      });
      const request = { container_id: id, stdin: true, stdout: true, stderr: true };
      {
        await using attached = await s.stream('Attach', request);
        attached.write('one\n');
        await attached.untilStdout(/got one\n/);
      }
      await using again = await s.stream('Attach', request);
      again.write('two\n');
      await again.untilStdout(/got two\n/);
      assert.equal((await pod.status(id)).state, 'CONTAINER_RUNNING');
      await until('the log has both', async () => /got one\ngot two\n/.test(await pod.logs(id)));
    });
  });

  test('a log has every line, in order', async () => {
    await s.withPod(async (pod) => {
      const id = await pod.run({ command: ['seq', '1', '20000'] });
      await pod.untilExited(id);
      const expected = Array.from({ length: 20_000 }, (_, n) => `${n + 1}\n`).join('');
      assert.equal(await pod.logs(id), expected);
    });
  });

  test('limits bind, change while the container runs, and leave out sizes that the guest lacks', async () => {
    await s.withPod(async (pod) => {
      const hugepage_limits = [
        { page_size: '2MB', limit: 0 },
        { page_size: '64GB', limit: 0 },
      ];
      const id = await pod.run({
        linux: limits({ memory_limit_in_bytes: 64 << 20, cpu_shares: 512, hugepage_limits }),
      });
      const read = 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max';
      assert.equal(await pod.execSh(id, read), `${64 << 20}\nmax 100000\n`);
      await s.client.call('UpdateContainerResources', {
        container_id: id,
        linux: {
          memory_limit_in_bytes: 96 << 20,
          cpu_quota: 50_000,
          cpu_period: 100_000,
          hugepage_limits,
        },
      });
      assert.equal(await pod.execSh(id, read), `${96 << 20}\n50000 100000\n`);
    });
  });

  test('a container out of memory is OOMKilled, alone', async () => {
    await s.withPod(async (pod) => {
      const steady = await pod.run();
      const id = await pod.run({
        command: ['sh', '-c', 'dd if=/dev/zero of=/dev/null bs=200M count=1'],
        linux: limits({ memory_limit_in_bytes: 32 << 20 }),
      });
      const { exit_code: code, reason } = await pod.untilExited(id);
      assert.deepEqual([code, reason], [137, 'OOMKilled']);
      assert.equal((await pod.status(steady)).state, 'CONTAINER_RUNNING');
    });
  });

  test('statistics tell of processor and memory, by container and by pod', async () => {
    await s.withPod(async (pod) => {
      const busy = await pod.run({
        command: ['sh', '-c', 'dd if=/dev/zero of=/tmp/file bs=1M count=8; exec sleep 1000'],
      });
      const other = await pod.run();
      await pod.execSh(busy, 'while [ "$(wc -c </tmp/file)" != 8388608 ]; do sleep 0.1; done');
      const { stats } = await s.client.call<{ stats: ContainerStats }>('ContainerStats', {
        container_id: busy,
      });
      assert.ok((stats.cpu?.usage_core_nano_seconds.value ?? 0) > 0);
      assert.ok((stats.memory?.working_set_bytes.value ?? 0) > 0);
      const list = await s.client.call<{ stats: ContainerStats[] }>('ListContainerStats', {
        filter: { pod_sandbox_id: pod.id },
      });
      const pods = await s.client.call<{ stats: PodStats }>('PodSandboxStats', {
        pod_sandbox_id: pod.id,
      });
      const { cpu, memory, network, containers } = pods.stats.linux;
      assert.ok((cpu?.usage_core_nano_seconds.value ?? 0) > 0);
      assert.ok((memory?.working_set_bytes.value ?? 0) > 0);
      assert.ok(network?.default_interface.rx_bytes);
      assert.equal(containers.length, 2);
      assert.deepEqual(
        new Set(list.stats.map(({ attributes }) => attributes.id)),
        new Set([busy, other]),
      );
    });
  });

  test('statistics tell what a container has written to its root file system', async () => {
    await s.withPod(async (pod) => {
      const id = await pod.run();
      const used = async (): Promise<number> => {
        const request = { container_id: id };
        const { stats } = await s.client.call<{ stats: ContainerStats }>('ContainerStats', request);
        return (stats.writable_layer?.used_bytes.value ?? 0) / 2 ** 20;
      };
      await pod.execSh(id, 'dd if=/dev/urandom of=/file bs=1M count=24; sync');
      // containerd looks every ten seconds
      await until('24 MiB are counted', async () => (await used()) >= 24);
      assert.ok((await used()) < 32, `${await used()} MiB`);
      await pod.execSh(id, 'rm /file; sync');
      await until('they are no longer', async () => (await used()) < 8);
    });
  });

  // once: what it shows is the shim's and the guest's
  if (version !== '1.6') return;
  test('fifty containers run in one pod', { timeout: 400_000 }, async () => {
    const annotations = { 'io.runv.memory_mib': '2048' };
    await s.withPod(
      async (pod) => {
        const ids: string[] = [];
        for (let n = 0; n < 50; n++) ids.push(await pod.run({ command: ['sleep', '1000'] }));
        const { containers } = await s.client.call<{ containers: { state: string }[] }>(
          'ListContainers',
          { filter: { pod_sandbox_id: pod.id } },
        );
        const states = containers.map(({ state }) => state);
        assert.deepEqual(states, Array(50).fill('CONTAINER_RUNNING'));
        assert.equal((await pod.exec(ids[49] ?? '', ['true'])).code, 0);
      },
      { annotations },
    );
  });
});
