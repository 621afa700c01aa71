import { Code, RunvError } from '../proto/error.ts';
import { Child, describeExit, eachLine } from './child.ts';
import type { OciHook, OciSpec } from './oci.ts';

/** Namespaces of whoever called `start`, as the daemon inherits them: it has its own two. */
export const hostNamespaces = { net: 5, mount: 6 } as const;

/** A hook without a time-out of its own that takes longer hangs. */
const defaultTimeoutSeconds = 120;

/** Hooks that run on the host. The rest run in the container's namespaces, which are the guest's. */
export type HookStage = 'prestart' | 'createRuntime' | 'poststart' | 'poststop';

/** What a hook gets on its standard input (OCI runtime specification, "State"). */
export interface HookState {
  readonly id: string;
  readonly bundle: string;
  readonly status: 'creating' | 'running' | 'stopped';
  /** A process in the pod's network namespace; 0 when there is none any more. */
  readonly pid: number;
}

/** Words before a command that runs where the daemon was started from, not where it is. */
export function outside(): string[] {
  const at = (fd: number) => `/proc/${process.pid}/fd/${fd}`;
  const { net, mount } = hostNamespaces;
  return ['nsenter', `--net=${at(net)}`, `--mount=${at(mount)}`, '--'];
}

/**
 * Runs the hooks of one stage, one after the other.
 * @param before words that bring a command to the host's namespaces
 * @throws RunvError FailedPrecondition with what the first failing one said last
 */
export async function runHooks(
  stage: HookStage,
  spec: OciSpec,
  state: HookState,
  before: readonly string[] = outside(),
): Promise<void> {
  for (const hook of spec.hooks?.[stage] ?? []) await runHook(stage, hook, spec, state, before);
}

/** Runs what a container's end asks for: all of them, though one should fail. */
export async function runLastHooks(
  spec: OciSpec,
  state: HookState,
  failed: (e: unknown) => void,
  before: readonly string[] = outside(),
): Promise<void> {
  for (const hook of spec.hooks?.['poststop'] ?? []) {
    await runHook('poststop', hook, spec, state, before).catch(failed);
  }
}

async function runHook(
  stage: HookStage,
  hook: OciHook,
  { annotations = {}, ociVersion = '1.0.2' }: OciSpec,
  state: HookState,
  before: readonly string[],
): Promise<void> {
  const { path, args = [path], env = [], timeout = defaultTimeoutSeconds } = hook;
  const input = JSON.stringify({ ociVersion, ...state, annotations });
  const [command = path, ...rest] = [...before, path, ...args.slice(1)];
  const child = await Child.start(command, rest, {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: Object.fromEntries(env.map((pair) => split(pair))),
  });
  let said = '';
  if (child.process.stderr) eachLine(child.process.stderr, (line) => (said = line || said));
  child.process.stdin?.on('error', () => undefined).end(input);
  const late = setTimeout(() => void child.stop(0), timeout * 1000);
  const exit = await child.exited;
  clearTimeout(late);
  if (exit.code === 0) return;
  const message = `${stage} hook ${path} ${describeExit(exit)}${said === '' ? '' : `: ${said}`}`;
  throw new RunvError(Code.FailedPrecondition, message);
}

function split(pair: string): [string, string] {
  const at = pair.indexOf('=');
  return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
}
