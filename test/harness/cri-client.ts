import { readFileSync } from 'node:fs';
import { credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import protobuf from 'protobufjs';
import { join } from 'node:path';
import { must } from './command.ts';
import { checkout } from './environment.ts';

/** A message as proto-loader has it; fields are named as in the published file. */
export type Message = Record<string, unknown>;

type Call = (
  request: Message,
  options: { deadline: number },
  done: (error: ServiceError | null, reply: Message) => void,
) => void;
type Client = Record<string, Call> & { close(): void };

/** Above what a pod takes on a slow machine: whoever hits it has found something that hangs. */
const defaultDeadlineMs = 120_000;

/** The runtime service of containerd's CRI plugin, as kubelet speaks to it. */
export class CriClient {
  readonly #client: Client;
  readonly #images: Client;

  /** @param socket path of containerd's gRPC socket */
  static async connect(socket: string): Promise<CriClient> {
    const file = (await must(join(checkout, 'deploy/fetch-cri-proto.sh'), [])).trim();
    // grpc-js asks for field names as they are written
    const { root } = protobuf.parse(readFileSync(file, 'utf8'), { keepCase: true });
    const definition = fromJSON(root.toJSON(), {
      keepCase: true,
      longs: Number,
      enums: String,
      defaults: true,
    });
    const loaded = loadPackageDefinition(definition) as unknown as {
      runtime: {
        v1: Record<
          'RuntimeService' | 'ImageService',
          new (address: string, credentials: unknown) => Client
        >;
      };
    };
    const { RuntimeService, ImageService } = loaded.runtime.v1;
    const address = `unix:${socket}`;
    return new CriClient(
      new RuntimeService(address, credentials.createInsecure()),
      new ImageService(address, credentials.createInsecure()),
    );
  }

  private constructor(client: Client, images: Client) {
    this.#client = client;
    this.#images = images;
  }

  /** @throws the call's gRPC error: its `code` and `details` are containerd's */
  async call<T = Message>(
    method: string,
    request: Message,
    deadlineMs = defaultDeadlineMs,
  ): Promise<T> {
    return await this.#call<T>(this.#client, method, request, deadlineMs);
  }

  /** A call of the image service. */
  async image<T = Message>(method: string, request: Message): Promise<T> {
    return await this.#call<T>(this.#images, method, request, defaultDeadlineMs);
  }

  async #call<T>(client: Client, method: string, request: Message, ms: number): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      const deadline = Date.now() + ms;
      client[method]!(request, { deadline }, (error, reply) => {
        if (error) reject(Object.assign(error, { message: `${method}: ${error.message}` }));
        else resolve(reply as T);
      });
    });
  }

  close(): void {
    this.#client.close();
    this.#images.close();
  }
}
