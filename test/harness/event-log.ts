import { delay, until, type Running } from './command.ts';
import type { Ctr } from './ctr.ts';

export interface LoggedEvent {
  readonly topic: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What `ctr events` prints from now on. */
export class EventLog implements AsyncDisposable {
  readonly #ctr: Running;

  private constructor(ctr: Running) {
    this.#ctr = ctr;
  }

  static async open(ctr: Ctr): Promise<EventLog> {
    const log = new EventLog(ctr.startCall(['events'], { deadlineMs: 600_000 }));
    // nothing tells when the subscription stands: make events until one arrives
    for (let n = 0; log.all().length === 0; n++) {
      if (n > 50) throw new Error('ctr events prints nothing');
      await ctr.must(['namespace', 'label', ctr.namespace, `probe=${n}`]);
      await delay(100);
    }
    return log;
  }

  all(): LoggedEvent[] {
    const lines = this.#ctr.stdoutSoFar.split('\n').slice(0, -1);
    return lines.map((line) => {
      // 2026-01-02 03:04:05.678 +0000 UTC NAMESPACE /topic {json}
      const at = line.indexOf('{');
      const topic = line.slice(0, at).trim().split(' ').at(-1) ?? '';
      return { topic, data: JSON.parse(line.slice(at)) as Record<string, unknown> };
    });
  }

  of(id: string): LoggedEvent[] {
    return this.all().filter(({ data }) => data['container_id'] === id || data['id'] === id);
  }

  async until(topic: string, id: string, deadlineMs?: number): Promise<LoggedEvent> {
    return await until(
      `event ${topic} of ${id}`,
      () => this.of(id).find((event) => event.topic === topic),
      deadlineMs,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ctr[Symbol.asyncDispose]();
  }
}
