import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Code, RunvError } from '../proto/error.ts';

/** The parts of an OCI runtime specification that the host acts on; the rest passes through unread. */
export interface OciSpec {
  readonly ociVersion?: string;
  readonly hooks?: Readonly<Record<string, readonly OciHook[]>>;
  readonly process?: { readonly terminal?: boolean; readonly oomScoreAdj?: number };
  readonly root?: { readonly path?: string; readonly readonly?: boolean };
  readonly mounts?: readonly OciMount[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly hostname?: string;
  readonly linux?: {
    readonly cgroupsPath?: string;
    readonly namespaces?: readonly { readonly type: string; readonly path?: string }[];
    readonly devices?: readonly OciDevice[];
    readonly sysctl?: Readonly<Record<string, string>>;
    readonly resources?: {
      readonly devices?: readonly OciDeviceRule[];
      readonly memory?: { readonly limit?: number };
      readonly cpu?: {
        readonly quota?: number;
        readonly period?: number;
        readonly shares?: number;
      };
    };
  };
}

export interface OciHook {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** In seconds. */
  readonly timeout?: number;
}

export interface OciMount {
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
}

export interface OciDevice {
  readonly path: string;
  readonly type: string;
  readonly major: number;
  readonly minor: number;
}

export interface OciDeviceRule {
  readonly allow: boolean;
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  /** Of `r`, `w` and `m`. */
  readonly access?: string;
}

/** A larger file is no container's configuration. */
const maxSpecBytes = 16 * 1024 * 1024;

/**
 * Reads a bundle's `config.json`.
 * @throws RunvError InvalidArgument when it is missing, too large, not JSON or not a specification
 */
export function readSpec(bundle: string): OciSpec {
  const file = join(bundle, 'config.json');
  const corrupt = (why: string) => new RunvError(Code.InvalidArgument, `bundle ${file}: ${why}`);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (e) {
    throw corrupt((e as Error).message);
  }
  if (text.length > maxSpecBytes) throw corrupt(`larger than ${maxSpecBytes} bytes`);
  let spec: unknown;
  try {
    spec = JSON.parse(text);
  } catch (e) {
    throw corrupt(`not JSON: ${(e as Error).message}`);
  }
  const wrong = shapeError(spec);
  if (wrong !== undefined) throw corrupt(wrong);
  return spec as OciSpec;
}

/** Says what is wrong with the parts we use, in one line. */
function shapeError(spec: unknown): string | undefined {
  const isObject = (v: unknown): v is Record<string, unknown> =>
    typeof v === 'object' && v !== null && !Array.isArray(v);
  const optional = (v: unknown, is: (v: unknown) => boolean) =>
    v === undefined || v === null || is(v);
  const listOf = (is: (v: Record<string, unknown>) => boolean) => (v: unknown) =>
    Array.isArray(v) && v.every((item) => isObject(item) && is(item));
  if (!isObject(spec)) return 'not an object';
  const { process } = spec;
  if (!isObject(process)) return 'has no process';
  const isNumber = (v: unknown) => typeof v === 'number';
  if (!optional(process['oomScoreAdj'], isNumber)) return 'process.oomScoreAdj is no number';
  if (!isObject(spec['root'])) return 'has no root';
  const mount = (m: Record<string, unknown>) =>
    typeof m['destination'] === 'string' &&
    optional(m['type'], (v) => typeof v === 'string') &&
    optional(m['source'], (v) => typeof v === 'string') &&
    optional(m['options'], (v) => Array.isArray(v) && v.every((o) => typeof o === 'string'));
  if (!optional(spec['mounts'], listOf(mount))) return 'mounts are malformed';
  const strings = (v: unknown) => Array.isArray(v) && v.every((s) => typeof s === 'string');
  const hook = (h: Record<string, unknown>) =>
    typeof h['path'] === 'string' &&
    optional(h['args'], strings) &&
    optional(h['env'], strings) &&
    optional(h['timeout'], (t) => typeof t === 'number' && t > 0);
  const hooks = (v: unknown) =>
    isObject(v) && Object.values(v).every((stage) => optional(stage, listOf(hook)));
  if (!optional(spec['hooks'], hooks)) return 'hooks are malformed';
  const texts = (v: unknown) => isObject(v) && Object.values(v).every((t) => typeof t === 'string');
  if (!optional(spec['annotations'], texts)) return 'annotations are malformed';
  if (!optional(spec['hostname'], (v) => typeof v === 'string')) return 'hostname is malformed';
  const { linux } = spec;
  if (!isObject(linux)) return 'has no linux section';
  if (
    !optional(
      linux['namespaces'],
      listOf((n) => typeof n['type'] === 'string'),
    )
  )
    return 'linux.namespaces are malformed';
  const numbers = (d: Record<string, unknown>) =>
    typeof d['path'] === 'string' && typeof d['type'] === 'string';
  if (!optional(linux['devices'], listOf(numbers))) return 'linux.devices are malformed';
  if (!optional(linux['sysctl'], texts)) return 'linux.sysctl is malformed';
  if (!optional(linux['resources'], isObject)) return 'linux.resources is malformed';
  return undefined;
}
