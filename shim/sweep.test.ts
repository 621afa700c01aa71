import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { pino } from 'pino';
import type { Config } from './config.ts';
import { Journal, sandboxPaths } from './journal.ts';
import { sweep } from './sweep.ts';

const dir = mkdtempSync(join(tmpdir(), 'runv-sweep-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const config = { runDir: join(dir, 'run'), dataDir: join(dir, 'data') } as Config;
const log = pino({ level: 'silent' });

function age(path: string): void {
  const longAgo = Date.now() / 1000 - 60;
  utimesSync(path, longAgo, longAgo);
}

/** A sandbox that has its journal and nothing else. */
function begun(id: string, namespace = 'ns') {
  const paths = sandboxPaths(config, namespace, id);
  Journal.create(paths);
  return { ...paths, journal: join(paths.stateDir, 'journal') };
}

describe('a sweep', () => {
  for (const namespace of ['ns', 'probe', 's']) {
    it(`removes a sandbox of namespace ${namespace} of which nothing lives`, async () => {
      const dead = begun('dead', namespace);
      age(dead.journal);
      await sweep(config, log);
      for (const path of [dead.stateDir, dead.socketDir, dead.diskDir]) {
        assert.ok(!existsSync(path), path);
      }
    });
  }

  it('leaves one that listens, however old it is, and one that is young', async () => {
    const [listening, young] = [begun('listening'), begun('young')];
    const server = createServer().listen(join(listening.socketDir, 'shim'));
    await once(server, 'listening');
    age(listening.journal);
    await sweep(config, log);
    assert.ok(existsSync(listening.journal) && existsSync(young.journal));
    server.close();
    for (const { stateDir } of [listening, young]) rmSync(stateDir, { recursive: true });
  });

  it('removes directories in which a killed start has written nothing', async () => {
    const [stateDir, young] = [join(config.runDir, 'ns2', 'x'), join(config.runDir, 'ns3', 'x')];
    for (const made of [stateDir, young]) mkdirSync(made, { recursive: true });
    age(stateDir);
    await sweep(config, log);
    assert.ok(!existsSync(join(config.runDir, 'ns2')) && existsSync(young));
  });

  it('touches nothing that is not a sandbox’s', async () => {
    const others = ['s', 'probe'].map((name) => join(config.runDir, name, 'jail'));
    for (const other of others) {
      mkdirSync(other, { recursive: true });
      age(other);
    }
    writeFileSync(join(config.runDir, 'kvm-probe.json'), '{}');
    await sweep(config, log);
    for (const other of others) assert.ok(existsSync(other), other);
  });
});
