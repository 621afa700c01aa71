import assert from 'node:assert/strict';
import { createServer, type Server as NetServer } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { Code, RunvError } from '../proto/error.ts';
import { task } from '../proto/messages.ts';
import { service, Server, unary } from '../proto/ttrpc/index.ts';
import { serveGrpc } from './grpc.ts';

const Test = service('test.Task', {
  Wait: unary(task.WaitRequest, task.WaitResponse),
  Connect: unary(task.ConnectRequest, task.ConnectResponse),
});

describe('gRPC', () => {
  const dir = mkdtempSync(join(tmpdir(), 'runv-grpc-'));
  let listener: NetServer;
  let client: Client;
  let aborted: Promise<unknown>;

  before(async () => {
    const server = new Server();
    const ended = Promise.withResolvers<unknown>();
    aborted = ended.promise;
    server.add(Test, {
      Connect: async ({ id }) => {
        if (id === 'no') throw new RunvError(Code.NotFound, 'there is no such täsk 100%');
        return { version: id.repeat(3) };
      },
      Wait: async (_, { signal }) => {
        signal.addEventListener('abort', () => ended.resolve(signal.reason));
        return new Promise<never>(() => undefined);
      },
    });
    listener = createServer((socket) => serveGrpc(socket, server));
    await new Promise<void>((resolve) => listener.listen(join(dir, 's'), resolve));
    client = new Client(`unix:${join(dir, 's')}`, credentials.createInsecure());
  });
  after(() => {
    client.close();
    listener.close();
    rmSync(dir, { recursive: true });
  });

  const call = async (method: string, id: string, deadlineMs?: number): Promise<string> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest<task.IConnectRequest, task.ConnectResponse>(
        method,
        (message) => Buffer.from(task.ConnectRequest.encode(message)),
        (bytes) => task.ConnectResponse.decode(bytes),
        { id },
        deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
        (error, reply) => (error ? reject(error) : resolve(reply?.version ?? '')),
      );
    });
  const failure = async (method: string, id: string, deadlineMs?: number): Promise<ServiceError> =>
    call(method, id, deadlineMs).then(
      () => assert.fail('it succeeded'),
      (e: unknown) => e as ServiceError,
    );

  it('answers calls, large ones too', async () => {
    assert.equal(await call('/test.Task/Connect', 'abc'), 'abcabcabc');
    const large = 'x'.repeat(1_000_000);
    assert.equal((await call('/test.Task/Connect', large)).length, 3_000_000);
  });

  it('answers many at once', async () => {
    const ids = Array.from({ length: 100 }, (_, n) => String(n));
    const replies = await Promise.all(ids.map((id) => call('/test.Task/Connect', id)));
    assert.deepEqual(
      replies,
      ids.map((id) => id.repeat(3)),
    );
  });

  it('passes on code and message of an error', async () => {
    const { code, details } = await failure('/test.Task/Connect', 'no');
    assert.deepEqual([code, details], [Code.NotFound, 'there is no such täsk 100%']);
  });

  it('refuses what it does not serve', async () => {
    assert.equal((await failure('/test.Task/No', 'a')).code, Code.Unimplemented);
    assert.equal((await failure('/no.Such/Wait', 'a')).code, Code.Unimplemented);
  });

  it('ends a call at its deadline', async () => {
    assert.equal((await failure('/test.Task/Wait', 'a', 100)).code, Code.DeadlineExceeded);
    await aborted;
  });
});
