import { cp, link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { must } from '../harness/command.ts';
import { checkout } from '../harness/environment.ts';
import { cacheDir, type TestImage } from '../harness/image.ts';

/** What a lab is to do when it has booted. */
export interface Job {
  /** A shell script, run in the checkout. */
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
  /** Set for a terminal instead of the script. */
  readonly terminal?: { readonly rows: number; readonly columns: number };
}

/** npm packages that tests import beside those that runv itself needs. */
const testPackages = ['protobufjs', '@grpc/grpc-js', '@grpc/proto-loader'];

/**
 * Makes the disk that brings the build, the tests and their images into the lab.
 * @param file is made; read-only erofs
 * @param workDir for the tree meanwhile
 */
export async function makePayload(
  file: string,
  workDir: string,
  job: Job,
  images: readonly TestImage[],
): Promise<void> {
  const tree = join(workDir, 'payload');
  const inside = join(tree, 'checkout');
  try {
    await mkdir(join(tree, 'cache', 'test-images'), { recursive: true });
    for (const name of (await readdir(checkout)).filter((name) => !notSources.has(name))) {
      await cp(join(checkout, name), join(inside, name), { recursive: true });
    }
    for (const name of ['dist', ...(await packages())]) {
      await bring(join(checkout, name), join(inside, name));
    }
    // other suites' packages, e.g. of containerd, as far as tests here have fetched them
    for (const name of await readdir(cacheDir())) {
      if (name.startsWith('suite-')) await bring(join(cacheDir(), name), join(tree, 'cache', name));
    }
    for (const { archive, inputs } of images) {
      for (const path of [archive, ...inputs]) {
        await linkOrCopy(path, join(tree, 'cache', 'test-images', basename(path)));
      }
    }
    await cp(join(checkout, 'test', 'lab', 'init'), join(tree, 'init'));
    const exports = Object.entries(job.env).map(([key, value]) => `export ${key}=${quote(value)}`);
    await writeFile(join(tree, 'command'), [...exports, job.script, ''].join('\n'));
    if (job.terminal) {
      const { rows, columns } = job.terminal;
      await writeFile(join(tree, 'shell'), `rows ${rows} cols ${columns}`);
    }
    await must('mkfs.erofs', ['--quiet', file, tree], { deadlineMs: 120_000 });
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

/** What was built or installed comes selected. */
const notSources = new Set(['.git', 'build', 'dist', 'node_modules']);

/** Folders of the packages that runv and its tests import, with what these need. */
async function packages(): Promise<string[]> {
  const lock = JSON.parse(await readFile(join(checkout, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; dependencies?: Record<string, string> }>;
  };
  const wanted = new Set(testPackages.map((name) => `node_modules/${name}`));
  const all = Object.entries(lock.packages);
  for (const folder of wanted) {
    // what comes with a package's folder needs something, too
    const within = all.filter(
      ([key]) => key === folder || key.startsWith(`${folder}/node_modules/`),
    );
    for (const name of within.flatMap(([, { dependencies = {} }]) => Object.keys(dependencies))) {
      wanted.add(`node_modules/${name}`);
    }
  }
  const found: string[] = [];
  for (const [folder, { dev }] of all) {
    // the root itself, and what comes with another package's folder
    if (folder === '' || folder.lastIndexOf('node_modules/') > 0) continue;
    // those for other platforms are in the lockfile, not on the disk
    const there = await stat(join(checkout, folder)).catch(() => undefined);
    if (there && (dev !== true || wanted.has(folder))) found.push(folder);
  }
  return found;
}

/** By hard links where the file system allows: most of it is Node, kernel and image. */
async function bring(from: string, to: string): Promise<void> {
  await mkdir(join(to, '..'), { recursive: true });
  await must('sh', ['-c', 'cp -alT "$1" "$2" 2>/dev/null || cp -aT "$1" "$2"', 'sh', from, to]);
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => cp(from, to));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
