import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { EventsTtrpc } from '../proto/services.ts';
import { Server } from '../proto/ttrpc/index.ts';
import { EventPublisher } from './events.ts';

const log = pino({ level: 'silent' });
let dir = '';
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'runv-events-'))));
afterEach(() => rmSync(dir, { recursive: true }));

/** The part of containerd that takes events. */
class FakeContainerd {
  readonly seen: string[] = [];
  readonly #listener: NetServer;
  readonly #sockets: Socket[] = [];

  constructor(path: string) {
    const server = new Server();
    server.add(EventsTtrpc, {
      Forward: async ({ envelope }) => {
        this.seen.push(`${envelope?.namespace} ${envelope?.topic} ${envelope?.event?.typeUrl}`);
        return {};
      },
    });
    this.#listener = createServer((socket) => {
      this.#sockets.push(socket);
      void server.serve(socket);
    });
    this.#listener.listen(path);
  }

  async until(count: number): Promise<void> {
    while (this.seen.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#listener.close(resolve));
  }
}

describe('events', () => {
  it('arrive in order', async () => {
    const path = join(dir, 's');
    const containerd = new FakeContainerd(path);
    const publisher = new EventPublisher(path, 'ns', log);
    for (const topic of ['/tasks/create', '/tasks/start', '/tasks/exit']) {
      publisher.publish(topic, 'type', new Uint8Array());
    }
    await containerd.until(3);
    assert.deepEqual(containerd.seen, [
      'ns /tasks/create type',
      'ns /tasks/start type',
      'ns /tasks/exit type',
    ]);
    await publisher.close(1000);
    await containerd.stop();
  });

  it('wait for a containerd that is away, and go to the one that comes', async () => {
    const path = join(dir, 's');
    const first = new FakeContainerd(path);
    const publisher = new EventPublisher(path, 'ns', log);
    publisher.publish('/tasks/create', 'type', new Uint8Array());
    await first.until(1);
    await first.stop();
    publisher.publish('/tasks/exit', 'type', new Uint8Array());
    const second = new FakeContainerd(path);
    await second.until(1);
    assert.deepEqual(second.seen, ['ns /tasks/exit type']);
    await publisher.close(1000);
    await second.stop();
  });

  it('do not push an exit out when they are too many', async () => {
    const path = join(dir, 's');
    const publisher = new EventPublisher(path, 'ns', log);
    publisher.publish('/tasks/exit', 'type', new Uint8Array());
    for (let n = 0; n < 3000; n++) publisher.publish('/tasks/oom', 'type', new Uint8Array());
    const containerd = new FakeContainerd(path);
    await containerd.until(1);
    assert.equal(containerd.seen[0], 'ns /tasks/exit type');
    await publisher.close(0);
    await containerd.stop();
  });
});
