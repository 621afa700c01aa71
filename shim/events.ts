import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../proto/ttrpc/index.ts';
import type { google } from '../proto/messages.ts';
import { EventsTtrpc } from '../proto/services.ts';
import { timestampFromDate } from '../proto/timestamp.ts';
import type { Log } from './log.ts';

/** An event on its way: `encode` is called once. */
interface Queued {
  readonly topic: string;
  readonly typeUrl: string;
  readonly value: Uint8Array;
  readonly timestamp: google.Timestamp;
}

/** Events kept while containerd is away; more than that and the oldest are dropped. */
const maxQueued = 2048;
const firstRetryMs = 50;
const maxRetryMs = 2000;
const forwardTimeoutMs = 5000;

/**
 * Sends events to containerd (`containerd.services.events.ttrpc.v1.Events`), one at a time, in
 * order, across restarts of containerd.
 */
export class EventPublisher {
  readonly #address: string;
  readonly #namespace: string;
  readonly #log: Log;
  readonly #queue: Queued[] = [];
  #client: Client | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  /** @param address path of containerd's ttrpc socket (TTRPC_ADDRESS) */
  constructor(address: string, namespace: string, log: Log) {
    this.#address = address.replace(/^unix:\/\//, '');
    this.#namespace = namespace;
    this.#log = log;
  }

  /** Queues one event; never fails. */
  publish(topic: string, typeUrl: string, value: Uint8Array): void {
    if (this.#queue.length >= maxQueued) {
      // An exit is what somebody waits for: a guest that reports much else must not push it out.
      const idle = this.#queue.findIndex((queued) => queued.topic !== '/tasks/exit');
      const [dropped] = this.#queue.splice(Math.max(idle, 0), 1);
      this.#log.error({ topic: dropped?.topic }, 'event dropped: containerd takes none');
    }
    this.#queue.push({ topic, typeUrl, value, timestamp: timestampFromDate(new Date()) });
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  /** Waits until the queue is empty, at most `timeoutMs`, then disconnects. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#running) {
      await Promise.race([this.#running, sleep(timeoutMs, undefined, { ref: false })]);
    }
    this.#closed = true;
    this.#client?.close();
  }

  async #run(): Promise<void> {
    let retryMs = firstRetryMs;
    for (let next = this.#queue[0]; next && !this.#closed; next = this.#queue[0]) {
      try {
        await this.#forward(next);
        if (this.#queue[0] === next) this.#queue.shift();
        retryMs = firstRetryMs;
      } catch (e) {
        this.#log.warn({ err: e, topic: next.topic }, 'event not delivered; trying again');
        this.#client?.close();
        this.#client = undefined;
        await sleep(retryMs);
        retryMs = Math.min(retryMs * 2, maxRetryMs);
      }
    }
  }

  async #forward({ topic, typeUrl, value, timestamp }: Queued): Promise<void> {
    if (!this.#client) {
      const client = new Client(connect(this.#address));
      this.#client = client;
      void client.closed.then(() => {
        if (this.#client === client) this.#client = undefined;
      });
    }
    const event = { typeUrl, value };
    await this.#client
      .bind(EventsTtrpc)
      .Forward(
        { envelope: { timestamp, namespace: this.#namespace, topic, event } },
        { timeoutMs: forwardTimeoutMs },
      );
  }
}
