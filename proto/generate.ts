/**
 * Writes gen/: one module of field tables and types for each package of our .proto files, and one
 * with the services. Run by generate.sh; `--check` only compares, and fails on a difference.
 *
 * pbjs's static code for the same files is 620 kB and its types 330 kB, of which most is never
 * used; the tables are a twentieth of that and what the shim loads at each start.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { loadDefinitions } from './definitions.ts';

const here = import.meta.dirname;

/** The module in gen/ that holds each package, and its name as a namespace in messages.ts. */
const modules: Readonly<Record<string, string>> = {
  'runv.agent.v1': 'agent',
  'containerd.events': 'events',
  'containerd.runc.v1': 'runc',
  'containerd.runtime.sandbox.v1': 'sandbox',
  'containerd.services.events.ttrpc.v1': 'forward',
  'containerd.task.v2': 'task',
  'containerd.types': 'types',
  'containerd.v1.types': 'tasktypes',
  'google.protobuf': 'google',
  'google.rpc': 'rpc',
  'io.containerd.cgroups.v2': 'cgroup',
  'runtime.v1': 'cri',
  'runtimeoptions.v1': 'runtimeoptions',
  ttrpc: 'wire',
};

/** The names of the services' values in services.ts. */
const services: Readonly<Record<string, string>> = {
  'runv.agent.v1.Agent': 'Agent',
  'containerd.task.v2.Task': 'TaskV2',
  'containerd.task.v3.Task': 'TaskV3',
  'containerd.runtime.sandbox.v1.Sandbox': 'SandboxV1',
  'containerd.services.events.ttrpc.v1.Events': 'EventsTtrpc',
};

const header = '// Written by proto/generate.sh from the .proto files: do not edit.\n';

const scalars: Readonly<Record<string, { decoded: string; input: string }>> = {
  string: { decoded: 'string', input: 'string' },
  bytes: { decoded: 'Uint8Array', input: 'Uint8Array' },
  bool: { decoded: 'boolean', input: 'boolean' },
  uint32: { decoded: 'number', input: 'number' },
  int32: { decoded: 'number', input: 'number' },
  double: { decoded: 'number', input: 'number' },
  uint64: { decoded: 'bigint', input: 'number | bigint' },
  int64: { decoded: 'bigint', input: 'number | bigint' },
};

interface Table {
  readonly text: string;
  readonly imports: ReadonlySet<string>;
}

const fullName = (o: protobuf.ReflectionObject): string => o.fullName.slice(1);

function moduleOf(o: protobuf.ReflectionObject): string {
  for (let p = o.parent; p; p = p.parent) {
    const module = modules[fullName(p)];
    if (module !== undefined) return module;
  }
  throw new Error(`${fullName(o)}: its package has no module in generate.ts`);
}

/** PidsResponse.Process becomes PidsResponseProcess. */
function localName(o: protobuf.ReflectionObject): string {
  return o.parent instanceof protobuf.Type ? localName(o.parent) + o.name : o.name;
}

const camelCase = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function comment(o: protobuf.ReflectionObject, indent: string): string {
  if (!o.comment) return '';
  const lines = o.comment.split('\n').map((line) => line.trim());
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join('\n')}\n${indent} */\n`;
}

class ModuleWriter {
  private readonly written = new Set<protobuf.ReflectionObject>();
  private readonly open = new Set<protobuf.ReflectionObject>();
  private readonly imports = new Set<string>();
  private readonly parts: string[] = [];
  private readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  finish(): string {
    const imports = [...this.imports].sort().map((m) => `import * as ${m} from './${m}.ts';\n`);
    return `${header}import { message, type MessageType } from '../message.ts';\n${imports.join('')}\n${this.parts.join('\n')}`;
  }

  enumeration(type: protobuf.Enum): void {
    const values = Object.entries(type.values).map(([key, value]) => `  ${key}: ${value},\n`);
    const name = localName(type);
    this.parts.push(
      `${comment(type, '')}export const ${name} = {\n${values.join('')}} as const;\n` +
        `export type ${name} = (typeof ${name})[keyof typeof ${name}];\n`,
    );
  }

  message(type: protobuf.Type): void {
    if (this.written.has(type)) return;
    // decoding must not recurse as deep as the input likes
    if (this.open.has(type)) throw new Error(`${fullName(type)} is recursive`);
    this.open.add(type);
    for (const field of type.fieldsArray) {
      field.resolve();
      if (field.resolvedType instanceof protobuf.Type && moduleOf(field.resolvedType) === this.name)
        this.message(field.resolvedType);
    }
    this.open.delete(type);
    this.written.add(type);

    const name = localName(type);
    const inputs: string[] = [];
    const outputs: string[] = [];
    const rows: string[] = [];
    for (const field of type.fieldsArray) {
      const { input, decoded, row } = this.field(field);
      const property = camelCase(field.name);
      inputs.push(`  ${property}?: ${input} | undefined;\n`);
      outputs.push(`${comment(field, '  ')}  ${property}: ${decoded};\n`);
      rows.push(`  [${field.id}, '${property}', ${row}],\n`);
    }
    const body = (lines: readonly string[]) => (lines.length ? `{\n${lines.join('')}}` : '{}');
    const table = rows.length ? `[\n${rows.join('')}]` : '[]';
    this.parts.push(
      `${comment(type, '')}export interface ${name} ${body(outputs)}\n` +
        `/** What ${name}.encode takes. */\nexport interface I${name} ${body(inputs)}\n` +
        `export const ${name}: MessageType<I${name}, ${name}> = /* @__PURE__ */ message('${fullName(type)}', ${table});\n`,
    );
  }

  private field(field: protobuf.Field): { input: string; decoded: string; row: string } {
    const { input, decoded, row } = this.fieldType(field);
    if (field instanceof protobuf.MapField) {
      if (field.keyType !== 'string' || field.type !== 'string')
        throw new Error(`${fullName(field)}: message.ts knows maps of strings only`);
      const record = 'Record<string, string>';
      return { input: `Readonly<${record}>`, decoded: record, row: `'string', 'map'` };
    }
    if (field.repeated) {
      if (scalars[field.type] && field.type !== 'string' && field.type !== 'bytes')
        throw new Error(`${fullName(field)}: message.ts does not know packed fields`);
      return { input: `readonly ${input}[]`, decoded: `${decoded}[]`, row: `${row}, 'repeated'` };
    }
    const optional = `${decoded} | undefined`;
    if (field.partOf) {
      const others = field.partOf.fieldsArray.filter((other) => other !== field);
      const names = others.map((other) => `'${camelCase(other.name)}'`).join(', ');
      return { input, decoded: optional, row: `${row}, [${names}]` };
    }
    return {
      input,
      decoded: field.resolvedType instanceof protobuf.Type ? optional : decoded,
      row,
    };
  }

  private fieldType(field: protobuf.Field): { input: string; decoded: string; row: string } {
    const type = field.resolvedType;
    if (type instanceof protobuf.Enum) {
      // open: the other side may know more values
      return { input: this.reference(type), decoded: 'number', row: `'int32'` };
    }
    if (type instanceof protobuf.Type) {
      const decoded = this.reference(type);
      return { input: this.reference(type, 'I'), decoded, row: decoded };
    }
    const scalar = scalars[field.type];
    if (!scalar) throw new Error(`${fullName(field)}: message.ts does not know ${field.type}`);
    return { ...scalar, row: `'${field.type}'` };
  }

  private reference(type: protobuf.ReflectionObject, prefix = ''): string {
    const module = moduleOf(type);
    if (module === this.name) return prefix + localName(type);
    this.imports.add(module);
    return `${module}.${prefix}${localName(type)}`;
  }
}

function kindOf(method: protobuf.Method): string {
  if (method.requestStream) return method.responseStream ? 'bidi' : 'clientStream';
  return method.responseStream ? 'serverStream' : 'unary';
}

function writeServices(found: readonly protobuf.Service[]): Table {
  const imports = new Set<string>();
  const reference = (type: protobuf.Type | null): string => {
    if (!type) throw new Error('unresolved method');
    const module = moduleOf(type);
    imports.add(module);
    return `${module}.${localName(type)}`;
  };
  const parts = found.map((service) => {
    const name = services[fullName(service)];
    if (name === undefined) throw new Error(`${fullName(service)} has no name in generate.ts`);
    const rows = service.methodsArray.map((method) => {
      method.resolve();
      const types = `${reference(method.resolvedRequestType)}, ${reference(method.resolvedResponseType)}`;
      const kind = kindOf(method);
      return `${comment(method, '  ')}  ${method.name}: /* @__PURE__ */ ${kind}(${types}),\n`;
    });
    return `${comment(service, '')}export const ${name} = /* @__PURE__ */ service('${fullName(service)}', {\n${rows.join('')}});\n`;
  });
  return { text: parts.join('\n'), imports };
}

function generate(): Map<string, string> {
  const root = loadDefinitions(here);
  const writers = new Map<string, ModuleWriter>();
  const found: protobuf.Service[] = [];
  const visit = (o: protobuf.ReflectionObject): void => {
    if (o instanceof protobuf.Service) found.push(o);
    if (o instanceof protobuf.Type || o instanceof protobuf.Enum) {
      const module = moduleOf(o);
      let writer = writers.get(module);
      if (!writer) writers.set(module, (writer = new ModuleWriter(module)));
      if (o instanceof protobuf.Enum) writer.enumeration(o);
      else writer.message(o);
    }
    if (o instanceof protobuf.Namespace) o.nestedArray.forEach(visit);
  };
  visit(root);

  const files = new Map<string, string>();
  for (const [name, writer] of writers) files.set(`${name}.ts`, writer.finish());
  const { text, imports } = writeServices(found);
  const kinds = ['service', 'unary', 'serverStream', 'clientStream', 'bidi'].filter((kind) =>
    text.includes(` ${kind}(`),
  );
  const lines = [...imports].sort().map((m) => `import * as ${m} from './${m}.ts';\n`);
  files.set(
    'services.ts',
    `${header}import { ${kinds.sort().join(', ')} } from '../ttrpc/service.ts';\n${lines.join('')}\n${text}`,
  );
  return files;
}

function check(directory: string, files: ReadonlyMap<string, string>): boolean {
  const present = new Set(readdirSync(directory));
  const stale = [...files].filter(
    ([name, text]) => !present.has(name) || readFileSync(join(directory, name), 'utf8') !== text,
  );
  const extra = [...present].filter((name) => !files.has(name));
  for (const name of [...stale.map(([name]) => name), ...extra])
    console.error(`proto/gen/${name} is out of date: run proto/generate.sh`);
  return stale.length + extra.length === 0;
}

const directory = join(here, 'gen');
const files = generate();
if (process.argv.includes('--check')) {
  if (!check(directory, files)) process.exitCode = 1;
} else {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  for (const [name, text] of files) writeFileSync(join(directory, name), text);
}
