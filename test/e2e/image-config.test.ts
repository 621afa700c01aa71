import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe } from '../harness/command.ts';
import { runChanged } from '../harness/containerd-api.ts';
import type { ContainerOptions } from '../harness/ctr.ts';
import { runcRuntime } from '../harness/environment.ts';
import { imageNames } from '../harness/image.ts';
import { suite } from '../harness/suite.ts';

const s = suite({ images: ['busybox', 'configured'] });

/** What a script prints with runv must be what it prints with runc. */
async function sameAsRunc(script: string, options: ContainerOptions = {}): Promise<string> {
  const [found, expected] = [
    await s.ctr.sh(script, options),
    await s.ctr.sh(script, { ...options, runtime: runcRuntime }),
  ];
  assert.equal(found, expected);
  return found;
}

test('the image’s entry point, command, user, groups, directory and environment hold', async () => {
  const outcome = await s.ctr.run({ image: imageNames.configured });
  const [id, pwd, ...env] = outcome.stdout.trim().split('\n');
  assert.equal(
    id,
    'uid=1000(worker) gid=2000(workers) groups=2000(workers),3000(extra)',
    describe(outcome),
  );
  assert.equal(pwd, '/work/dir');
  assert.ok(env.includes('FROM_IMAGE=yes and spaces'), describe(outcome));
  assert.ok(env.includes('EMPTY='), describe(outcome));
  assert.equal(env.filter((line) => line.startsWith('PATH=')).length, 1);
});

test('arguments replace entry point and command', async () => {
  const outcome = await s.ctr.run({ image: imageNames.configured, argv: ['id', '-u'] });
  assert.equal(outcome.stdout, '1000\n', describe(outcome));
});

test('--env and --cwd override the image', async () => {
  const flags = ['--env', 'FROM_IMAGE=no', '--env', 'MORE=a=b c', '--cwd', '/odd'];
  const argv = ['sh', '-c', 'echo "$FROM_IMAGE|$MORE"; pwd'];
  const outcome = await s.ctr.run({ image: imageNames.configured, flags, argv });
  assert.equal(outcome.stdout, 'no|a=b c\n/odd\n', describe(outcome));
});

test('a working directory that the image lacks is made', async () => {
  const outcome = await s.ctr.run({ flags: ['--cwd', '/made/for/this'], argv: ['pwd'] });
  assert.equal(outcome.stdout, '/made/for/this\n', describe(outcome));
});

const privileges = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
/** A bit of CapEff; linux/capability.h. */
const capability = { chown: 0n, sysTime: 25n, sysAdmin: 21n };
const effective = (status: string) => BigInt(`0x${/CapEff:\s+(\w+)/.exec(status)?.[1]}`);
const has = (status: string, bit: bigint) => ((effective(status) >> bit) & 1n) === 1n;

test('capabilities are the default set, with no new privileges', async () => {
  const status = await sameAsRunc(privileges);
  assert.ok(has(status, capability.chown) && !has(status, capability.sysAdmin), status);
  assert.match(status, /NoNewPrivs:\t1/);
  assert.match(status, /Seccomp:\t0/);
});

test('capabilities can be added and dropped', async () => {
  const flags = ['--cap-add', 'CAP_SYS_TIME', '--cap-drop', 'CAP_CHOWN'];
  const status = await sameAsRunc(privileges, { flags });
  assert.ok(has(status, capability.sysTime) && !has(status, capability.chown), status);
});

test('a user other than root has no effective capabilities', async () => {
  const outcome = await s.ctr.run({ image: imageNames.configured, argv: ['sh', '-c', privileges] });
  assert.match(outcome.stdout, /CapEff/, describe(outcome));
  assert.equal(effective(outcome.stdout), 0n, describe(outcome));
});

test('a privileged container has all capabilities of the caller', async () => {
  const status = await sameAsRunc(privileges, { flags: ['--privileged'] });
  assert.ok(has(status, capability.sysAdmin), status);
});

test('the seccomp profile filters system calls', async () => {
  // a user name space needs no capability: only the filter forbids it
  const script = `${privileges}; unshare -U true && echo allowed || echo refused`;
  const filtered = await s.ctr.sh(script, { flags: ['--seccomp'] });
  assert.match(filtered, /Seccomp:\t2/);
  assert.match(filtered, /refused/);
  const free = await s.ctr.sh(script);
  assert.match(free, /allowed/);
});

test('a read-only root refuses writes, and the file systems mounted in it do not', async () => {
  const script = 'touch /new 2>&1; touch /etc/passwd 2>&1; touch /dev/shm/ok && echo writable';
  const outcome = await s.ctr.sh(script, { flags: ['--read-only'] });
  assert.match(outcome, /\/new: Read-only file system/);
  assert.match(outcome, /\/etc\/passwd: Read-only file system/);
  assert.match(outcome, /^writable$/m);
});

test('device nodes are the default ones, with their numbers and modes', async () => {
  // runc names the terminal nodes after the machine's own devpts, and links to a kcore that is there
  await sameAsRunc(
    "ls -l /dev /dev/pts/ptmx | awk '{print $1, $3, $4, $5, $6, $NF}' | grep -v -e total -e kcore",
  );
});

test('the default mounts have the options that runc gives them', async () => {
  // sysrq-trigger is made read-only where the kernel has it; the host's may lack what the guest's has
  const listed = 'awk \'$2 != "/" {print $2, $3, $4}\' /proc/mounts | grep -v sysrq-trigger';
  // how a kernel numbers the files of a tmpfs is its own
  const others = `${listed} | sed s/,inode64//`;
  assert.match(await sameAsRunc(others), /^\/dev\/shm tmpfs rw,nosuid,nodev,noexec,/m);
});

test('masked and read-only paths of /proc are so', async () => {
  const script = `
    for path in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug; do
      [ -e $path ] && wc -c <$path
    done
    touch /proc/sys/kernel/hostname 2>&1
    echo x 2>&1 >/proc/sysrq-trigger; true`;
  const found = await s.ctr.sh(script);
  assert.doesNotMatch(found, /^[1-9]\d*$/m, 'a masked file has content');
  assert.match(found, /Read-only file system/);
});

test('host name, rlimits, umask, OOM score and extra groups of the specification hold', async () => {
  const script =
    'hostname; ulimit -n; ulimit -Hn; ulimit -c; umask; id -G; cat /proc/self/oom_score_adj';
  const outcome = await runChanged(s.ctr, { argv: ['sh', '-c', script] }, (spec) => {
    spec.hostname = 'given-name';
    spec.process.rlimits = [
      { type: 'RLIMIT_NOFILE', soft: 500, hard: 600 },
      { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
    ];
    spec.process.user = { uid: 0, gid: 0, additionalGids: [4, 3000] };
    spec.process.oomScoreAdj = 300;
  });
  assert.equal(outcome.stdout, 'given-name\n500\n600\n0\n0022\n0 4 3000\n300\n', describe(outcome));
});

test('sysctls of the specification hold in the container', async () => {
  const script =
    'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced';
  const outcome = await runChanged(s.ctr, { argv: ['sh', '-c', script] }, (spec) => {
    spec.linux['sysctl'] = {
      'net.ipv4.ip_unprivileged_port_start': '80',
      'kernel.shm_rmid_forced': '1',
    };
  });
  assert.equal(outcome.stdout, '80\n1\n', describe(outcome));
});
