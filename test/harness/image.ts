import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pauseProgram } from '../../agent/pause-program.ts';
import { must } from './command.ts';
import { baseLayer, changeLayer, oddLayer } from './layers.ts';
import { tar } from './tar.ts';

/** A built image: an OCI archive on disk and the name it gets when imported. */
export interface TestImage {
  readonly name: string;
  readonly archive: string;
  /** Files of the cache that it is made of, and by which it is found there. */
  readonly inputs: readonly string[];
}

/** The `config` object of an OCI image configuration. */
export interface ImageConfig {
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
}

/** A layer is either small enough for memory or a tar file on disk. */
type Layer = Buffer | { readonly file: string };

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Names carry a registry part because containerd's clients expect one; nothing is fetched. */
export const imageNames = {
  busybox: 'runv.test/busybox:latest',
  configured: 'runv.test/configured:latest',
  debian: 'runv.test/debian:latest',
  nginx: 'runv.test/nginx:latest',
  pause: 'runv.test/pause:latest',
} as const;

export function cacheDir(): string {
  return process.env['RUNV_CACHE'] ?? join(homedir(), '.cache', 'runv');
}

/** Debian's static busybox with its applets, plus the layers of layers.ts. */
export async function busyboxImage(): Promise<TestImage> {
  return await cached(imageNames.busybox, { Env: [defaultPath], Cmd: ['sh'] }, [
    ...(await busyboxLayers()),
  ]);
}

/** What CRI runs for each pod: as small as such an image can be. */
export async function pauseImage(): Promise<TestImage> {
  const program = { path: 'pause', kind: 'file' as const, mode: 0o755, data: pauseProgram() };
  return await cached(imageNames.pause, { Entrypoint: ['/pause'] }, [tar([program])]);
}

/** The same files under a configuration that sets everything an image can set. */
export async function configuredImage(): Promise<TestImage> {
  const config: ImageConfig = {
    User: 'worker',
    WorkingDir: '/work/dir',
    Env: [defaultPath, 'FROM_IMAGE=yes and spaces', 'EMPTY='],
    Entrypoint: ['/bin/sh', '-c'],
    Cmd: ['id; pwd; env'],
  };
  return await cached(imageNames.configured, config, await busyboxLayers());
}

/**
 * Debian's minimal system, made by mmdebstrap from the package sources of this machine, plus the
 * same odd layers. The slow part, a minute or more, is cached until its inputs change.
 */
export async function debianImage(): Promise<TestImage> {
  const base = await debianBase();
  return await cached(imageNames.debian, { Env: [defaultPath], Cmd: ['bash'] }, [
    { file: base },
    tar(oddLayer()),
    tar(changeLayer()),
  ]);
}

/** Debian's nginx, which logs to its stdout. */
export async function nginxImage(): Promise<TestImage> {
  const base = await debianBase('nginx-light');
  const log = {
    path: 'var/log/nginx/access.log',
    kind: 'symlink' as const,
    mode: 0o777,
    target: '/dev/stdout',
  };
  const config = { Env: [defaultPath], Cmd: ['nginx', '-g', 'daemon off;'] };
  return await cached(imageNames.nginx, config, [{ file: base }, tar([log])]);
}

async function busyboxLayers(): Promise<Layer[]> {
  const binary = await readFile('/bin/busybox');
  const applets = (await must('/bin/busybox', ['--list']))
    .split('\n')
    .filter((name) => name !== '');
  return [tar(baseLayer(binary, applets)), tar(oddLayer()), tar(changeLayer())];
}

/** @param packages beside the minimal system */
async function debianBase(...packages: string[]): Promise<string> {
  const args = [
    '--variant=minbase',
    '--dpkgopt=path-exclude=/usr/share/doc/*',
    '--dpkgopt=path-exclude=/usr/share/man/*',
    '--dpkgopt=path-exclude=/usr/share/locale/*',
    '--aptopt=APT::Install-Recommends "false"',
    ...packages.map((name) => `--include=${name}`),
  ];
  const sources = '/etc/apt/sources.list.d/debian.sources';
  const key = createHash('sha256')
    .update(JSON.stringify(args))
    .update(await readFile(sources))
    .digest('hex');
  const target = join(cacheDir(), 'test-images', `debian-${key.slice(0, 16)}.tar`);
  if (await exists(target)) return target;
  await mkdir(join(target, '..'), { recursive: true });
  process.stderr.write('test image: building a Debian base with mmdebstrap (once, a minute)\n');
  const partial = `${target}.${process.pid}`;
  await must('mmdebstrap', [...args, '--format=tar', 'bookworm', partial, sources], {
    deadlineMs: 900_000,
    env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' },
  });
  await rename(partial, target);
  return target;
}

/** Writes the OCI archive once per content; its file name is the hash of what is in it. */
async function cached(
  name: string,
  config: ImageConfig,
  layers: readonly Layer[],
): Promise<TestImage> {
  const blobs = await Promise.all(layers.map(describeLayer));
  const configBlob = jsonBlob({
    architecture: 'amd64',
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: blobs.map((blob) => `sha256:${blob.digest}`) },
    history: blobs.map(() => ({ created_by: 'runv test suite' })),
  });
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('application/vnd.oci.image.config.v1+json', configBlob),
    layers: blobs.map((blob) => descriptor('application/vnd.oci.image.layer.v1.tar', blob)),
  });
  const archive = join(cacheDir(), 'test-images', `${manifest.digest.slice(0, 24)}.oci.tar`);
  const inputs = layers.flatMap((layer) => (Buffer.isBuffer(layer) ? [] : [layer.file]));
  if (await exists(archive)) return { name, archive, inputs };

  const layout = join(cacheDir(), 'test-images', `.layout-${randomBytes(6).toString('hex')}`);
  try {
    await mkdir(join(layout, 'blobs', 'sha256'), { recursive: true });
    await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    const index = {
      schemaVersion: 2,
      manifests: [
        {
          ...descriptor('application/vnd.oci.image.manifest.v1+json', manifest),
          // the name under which `ctr images import` files it
          annotations: { 'io.containerd.image.name': name },
        },
      ],
    };
    await writeFile(join(layout, 'index.json'), JSON.stringify(index));
    for (const blob of [...blobs, configBlob, manifest]) {
      const path = join(layout, 'blobs', 'sha256', blob.digest);
      if (Buffer.isBuffer(blob.content)) await writeFile(path, blob.content);
      else await pipeline(createReadStream(blob.content.file), createWriteStream(path));
    }
    const partial = `${archive}.${process.pid}`;
    await must('tar', ['-C', layout, '-cf', partial, 'oci-layout', 'index.json', 'blobs'], {
      deadlineMs: 300_000,
    });
    await rename(partial, archive);
  } finally {
    await rm(layout, { recursive: true, force: true });
  }
  return { name, archive, inputs };
}

interface Blob {
  readonly digest: string;
  readonly size: number;
  readonly content: Layer;
}

async function describeLayer(layer: Layer): Promise<Blob> {
  const hash = createHash('sha256');
  if (Buffer.isBuffer(layer)) {
    return { digest: hash.update(layer).digest('hex'), size: layer.length, content: layer };
  }
  await pipeline(createReadStream(layer.file), hash);
  return { digest: hash.digest('hex'), size: (await stat(layer.file)).size, content: layer };
}

function jsonBlob(value: unknown): Blob {
  const content = Buffer.from(JSON.stringify(value));
  const digest = createHash('sha256').update(content).digest('hex');
  return { digest, size: content.length, content };
}

function descriptor(mediaType: string, blob: Blob) {
  return { mediaType, digest: `sha256:${blob.digest}`, size: blob.size };
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
