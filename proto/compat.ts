/**
 * Compares our definitions with the published ones, found below directories given to it:
 * message by message, field by field, services and methods too. Names of packages that we chose
 * otherwise are in `aliases`; what only newer published files have is in `sinceVersion`.
 *
 *   node proto/compat.ts [DIR...]        default: where Debian's golang-*-dev packages put them
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { loadDefinitions, protoFiles } from './definitions.ts';

/** Where Debian's packages put them. */
export const publishedDirectory = '/usr/share/gocode/src/github.com/containerd';
export const publishedPackages = [
  'golang-github-containerd-containerd-dev (or, from a newer suite, golang-github-containerd-containerd-api-dev)',
  'golang-github-containerd-cgroups-dev',
];

/** The packages that we speak; others in the published files are not compared. */
const spoken = [
  'containerd.events',
  'containerd.runc.v1',
  'containerd.runtime.sandbox.v1',
  'containerd.services.events.ttrpc.v1',
  'containerd.task.v2',
  'containerd.task.v3',
  'containerd.types',
  'containerd.v1.types',
  'io.containerd.cgroups.v2',
  'runtimeoptions.v1',
  'ttrpc',
];

/** Published messages of those packages that never reach a shim. */
const notSpoken =
  /^containerd\.events\.(Container|Content|Image|Namespace|Sandbox|Snapshot)|^containerd\.types\.(Descriptor|RuntimeRequest|RuntimeVersion|RuntimeInfo|RuntimeConfig|Sandbox|Event|Runtime|Introspect)|\.transfer\.|^ttrpc\.(Test|Echo)Payload$/;

/** Published name → the name of ours that it must equal. */
const aliases: readonly (readonly [RegExp, string])[] = [
  // v3's messages are v2's
  [/^containerd\.task\.v3\.(?!Task$)/, 'containerd.task.v2.'],
  [/^containerd\.types\.Envelope$/, 'containerd.services.events.ttrpc.v1.Envelope'],
  // ttrpc's request.proto abbreviates google.rpc.Status
  [/^Status$/, 'google.rpc.Status'],
];

/** Ours, absent from published files older than this; any other absence is a difference. */
const sinceVersion: Readonly<Record<string, string>> = {
  'containerd.runc.v1.Options.task_api_address': 'containerd 2.0',
  'containerd.runc.v1.Options.task_api_version': 'containerd 2.0',
  'containerd.runtime.sandbox.v1.CreateSandboxRequest.annotations': 'containerd 2.0',
  'containerd.runtime.sandbox.v1.Sandbox.SandboxMetrics': 'containerd 2.0',
  'containerd.types.Platform.os_version': 'containerd 2.0',
  'runtimeoptions.v1.Options.config_body': 'containerd 1.7',
  'io.containerd.cgroups.v2.CPUStat.psi': 'cgroups 3',
  'io.containerd.cgroups.v2.IOStat.psi': 'cgroups 3',
  'io.containerd.cgroups.v2.MemoryStat.psi': 'cgroups 3',
  'io.containerd.cgroups.v2.Metrics.network': 'cgroups 3.1',
  'io.containerd.cgroups.v2.MemoryStat.max_usage': 'cgroups 3',
  'io.containerd.cgroups.v2.MemoryStat.swap_max_usage': 'cgroups 3',
};

/** Ours, absent from newer published files, which reserve the number. */
const untilVersion: Readonly<Record<string, string>> = {
  'containerd.runc.v1.Options.criu_path': 'containerd 1.7',
};

export interface Comparison {
  /** Full names of what was compared: messages, enums, services. */
  readonly compared: readonly string[];
  /** One line for each; empty: compatible. */
  readonly differences: readonly string[];
}

type Described = ReadonlyMap<string, string>;

function ourName(published: string): string {
  const alias = aliases.find(([pattern]) => pattern.test(published));
  return alias ? published.replace(alias[0], alias[1]) : published;
}

const fullName = (o: protobuf.ReflectionObject): string => o.fullName.replace(/^\./, '');

/**
 * A type's name as seen from where it is used, without resolving: published files import what
 * Debian does not ship (gogo.proto).
 */
function typeName(
  type: string,
  scope: protobuf.ReflectionObject,
  known: ReadonlySet<string>,
): string {
  if (protobuf.types.basic[type as keyof typeof protobuf.types.basic] !== undefined) return type;
  if (type.startsWith('.')) return ourName(type.slice(1));
  for (let at: protobuf.ReflectionObject | null = scope; at; at = at.parent) {
    const name = [fullName(at), type].filter(Boolean).join('.');
    if (known.has(name)) return ourName(name);
  }
  return ourName(type);
}

function describeField(field: protobuf.Field, known: ReadonlySet<string>): string {
  const type = typeName(field.type, field.parent ?? field, known);
  const label = field.repeated ? 'repeated ' : '';
  const oneof = field.partOf ? ` in oneof ${field.partOf.name}` : '';
  if (field instanceof protobuf.MapField) return `${field.id} map<${field.keyType}, ${type}>`;
  return `${field.id} ${label}${type}${oneof}`;
}

function describeMethod(method: protobuf.Method, known: ReadonlySet<string>): string {
  const name = (type: string, stream: boolean | undefined): string =>
    (stream ? 'stream ' : '') + typeName(type, method.parent ?? method, known);
  return `${name(method.requestType, method.requestStream)} → ${name(method.responseType, method.responseStream)}`;
}

/** Everything below `scope` by our full name: each a table from member to what it is. */
function describe(
  scope: protobuf.NamespaceBase,
  known: ReadonlySet<string>,
): Map<string, Described> {
  const described = new Map<string, Described>();
  const visit = (o: protobuf.ReflectionObject): void => {
    const name = ourName(fullName(o));
    if (o instanceof protobuf.Type)
      described.set(name, new Map(o.fieldsArray.map((f) => [f.name, describeField(f, known)])));
    if (o instanceof protobuf.Enum)
      described.set(name, new Map(Object.entries(o.values).map(([k, v]) => [k, String(v)])));
    if (o instanceof protobuf.Service)
      described.set(name, new Map(o.methodsArray.map((m) => [m.name, describeMethod(m, known)])));
    if (o instanceof protobuf.Namespace) o.nestedArray.forEach(visit);
  };
  visit(scope);
  return described;
}

function allNames(scope: protobuf.NamespaceBase): Set<string> {
  const names = new Set<string>();
  const visit = (o: protobuf.ReflectionObject): void => {
    names.add(fullName(o));
    if (o instanceof protobuf.Namespace) o.nestedArray.forEach(visit);
  };
  visit(scope);
  return names;
}

/** One published file with those of our packages in it, or nothing. */
function parsePublished(path: string): protobuf.Root | undefined {
  // `weak` and gogo's options mean nothing to other parsers, nor to the wire
  const source = readFileSync(path, 'utf8').replace(/^(\s*import)\s+weak\b/gm, '$1');
  const packageName = /^\s*package\s+([\w.]+)\s*;/m.exec(source)?.[1] ?? '';
  if (!spoken.includes(packageName)) return undefined;
  const root = new protobuf.Root();
  protobuf.parse(source, root, { keepCase: true });
  return root;
}

function compareMembers(name: string, ours: Described, theirs: Described): string[] {
  const differences: string[] = [];
  for (const [member, theirValue] of theirs) {
    const ourValue = ours.get(member);
    if (ourValue === undefined) differences.push(`${name}.${member} (${theirValue}) is missing`);
    else if (ourValue !== theirValue)
      differences.push(`${name}.${member} is ${ourValue}, published ${theirValue}`);
  }
  for (const [member, ourValue] of ours) {
    const full = `${name}.${member}`;
    if (!theirs.has(member) && !(full in sinceVersion) && !(full in untilVersion))
      differences.push(`${full} (${ourValue}) is not in the published file`);
  }
  return differences;
}

/** Compares with every .proto file below each directory. */
export function compare(directories: readonly string[]): Comparison {
  const ourRoot = loadDefinitions(import.meta.dirname);
  const ours = describe(ourRoot, allNames(ourRoot));
  const compared = new Set<string>();
  const differences = new Set<string>();
  for (const directory of directories) {
    for (const file of protoFiles(directory)) {
      const published = parsePublished(join(directory, file));
      if (!published) continue;
      const known = new Set([...allNames(published), ...allNames(ourRoot)]);
      for (const [name, theirs] of describe(published, known)) {
        if (notSpoken.test(name)) continue;
        const mine = ours.get(name);
        if (mine)
          for (const line of compareMembers(name, mine, theirs))
            differences.add(`${line} (${file})`);
        else differences.add(`${name} is missing (${file})`);
        compared.add(name);
      }
    }
  }
  return { compared: [...compared].sort(), differences: [...differences] };
}

if (import.meta.main) {
  const given = process.argv.slice(2);
  const directories = given.length > 0 ? given : [publishedDirectory];
  const absent = directories.filter((directory) => !existsSync(directory));
  if (absent.length > 0) {
    console.error(`${absent.join(', ')} not found; install ${publishedPackages.join(' and ')}`);
    process.exitCode = 2;
  } else {
    const { compared, differences } = compare(directories);
    for (const line of differences) console.error(line);
    console.log(`${compared.length} definitions compared, ${differences.length} differences`);
    if (differences.length > 0 || compared.length === 0) process.exitCode = 1;
  }
}
