import { Code, RunvError } from '../proto/error.ts';

/** How containerd calls a shim (containerd's runtime/v2 README, "Command Line"). */
export interface ShimArgs {
  readonly action: 'start' | 'delete' | 'clean' | 'version';
  readonly namespace: string;
  readonly id: string;
  /** containerd's own gRPC socket. */
  readonly address: string;
  readonly bundle: string;
  readonly debug: boolean;
}

const actions = ['start', 'delete', 'clean'] as const;
/** Go's flag package takes one dash or two, and the value after a space or an equals sign. */
const flag = /^--?([a-z-]+)(?:=(.*))?$/s;
const withValue = new Set(['namespace', 'id', 'address', 'bundle', 'publish-binary', 'socket']);
const alone = new Set(['debug', 'v', 'version']);
/** As containerd validates identifiers; also keeps them from leaving the state directory. */
export const identifier = /^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$/;
const maxIdentifierChars = 76;

/** @throws RunvError InvalidArgument naming what is wrong */
export function parseArgs(argv: readonly string[]): ShimArgs {
  const wrong = (message: string) => new RunvError(Code.InvalidArgument, message);
  const values = new Map<string, string>();
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    const [, name, value] = flag.exec(word) ?? [];
    if (name === undefined) words.push(word);
    else if (alone.has(name)) values.set(name, value ?? 'true');
    else if (withValue.has(name)) values.set(name, value ?? argv[++i] ?? '');
    else throw wrong(`unknown flag ${word}`);
  }
  const version = values.has('v') || values.has('version');
  const action = version ? 'version' : actions.find((a) => a === words[0]);
  if (action === undefined) {
    throw wrong(`expected one of ${actions.join(', ')}; containerd starts this program`);
  }
  const namespace = values.get('namespace') ?? '';
  const id = values.get('id') ?? '';
  if (action === 'start' || action === 'delete') {
    for (const [name, value] of Object.entries({ namespace, id })) {
      if (value.length > maxIdentifierChars || !identifier.test(value)) {
        throw wrong(`-${name} ${JSON.stringify(value)} is not an identifier`);
      }
    }
  }
  return {
    action,
    namespace,
    id,
    address: values.get('address') ?? '',
    bundle: values.get('bundle') ?? '',
    debug: values.get('debug') === 'true',
  };
}
