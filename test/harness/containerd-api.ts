import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import protobuf from 'protobufjs';
import type { Outcome } from './command.ts';
import type { ContainerOptions, Ctr, Mount } from './ctr.ts';

/**
 * The few calls of containerd's client API that `ctr` has no command for: changing a container's
 * OCI specification, and creating a task with a root file system of the test's choice. Names,
 * numbers and types are those of containerd's api/services and api/types.
 */
const definitions = `
syntax = "proto3";
message Any { string type_url = 1; bytes value = 2; }
message Container { string id = 1; Any spec = 5; }
message GetContainerRequest { string id = 1; }
message GetContainerResponse { Container container = 1; }
message FieldMask { repeated string paths = 1; }
message UpdateContainerRequest { Container container = 1; FieldMask update_mask = 2; }
message UpdateContainerResponse { Container container = 1; }
message Mount { string type = 1; string source = 2; string target = 3; repeated string options = 4; }
message CreateTaskRequest { string container_id = 1; repeated Mount rootfs = 3; string stdout = 5;
                            string stderr = 6; }
message CreateTaskResponse { string container_id = 1; uint32 pid = 2; }
message StartRequest { string container_id = 1; }
message StartResponse { uint32 pid = 1; }
message WaitRequest { string container_id = 1; }
message WaitResponse { uint32 exit_status = 1; }
message UpdateTaskRequest { string container_id = 1; Any resources = 2; }
message UpdateTaskResponse {}
message CheckpointTaskRequest { string container_id = 1; }
message CheckpointTaskResponse {}
message MetricsRequest { repeated string filters = 1; }
message Metric { string id = 2; Any data = 3; }
message MetricsResponse { repeated Metric metrics = 1; }
`;
const root = protobuf.parse(definitions, { keepCase: true }).root;

const containers = 'containerd.services.containers.v1.Containers';
const tasks = 'containerd.services.tasks.v1.Tasks';

/** The parts of an OCI runtime specification that tests change; the rest is carried along. */
export interface Spec {
  process: {
    args: string[];
    user: { uid: number; gid: number; additionalGids?: number[] };
    rlimits?: { type: string; hard: number; soft: number }[];
    oomScoreAdj?: number;
    [key: string]: unknown;
  };
  mounts: { destination: string; type: string; source: string; options?: string[] }[];
  linux: Record<string, unknown> & { resources?: Record<string, unknown> };
  hostname?: string;
  [key: string]: unknown;
}

/** A call that containerd answered with an error: gRPC's status code and message. */
export class GrpcError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export class ContainerdApi {
  readonly #address: string;
  readonly #namespace: string;

  constructor(ctr: Ctr) {
    this.#address = ctr.address;
    this.#namespace = ctr.namespace;
  }

  /** Replaces a container's specification; `change` edits it or returns another text. */
  async changeSpec(id: string, change: (spec: Spec) => string | void): Promise<void> {
    const got = await this.#call(containers, 'Get', 'GetContainer', { id });
    const { spec } = got['container'] as { spec: { type_url: string; value: Uint8Array } };
    const parsed = JSON.parse(Buffer.from(spec.value).toString()) as Spec;
    const text = change(parsed) ?? JSON.stringify(parsed);
    await this.#call(containers, 'Update', 'UpdateContainer', {
      container: { id, spec: { type_url: spec.type_url, value: Buffer.from(text) } },
      update_mask: { paths: ['spec'] },
    });
  }

  /** @param output takes stdout and stderr, e.g. `file:///path` */
  async createTask(id: string, rootfs: readonly Mount[], output = ''): Promise<void> {
    await this.#call(tasks, 'Create', 'CreateTask', {
      container_id: id,
      rootfs,
      stdout: output,
      stderr: output,
    });
  }

  async startTask(id: string): Promise<void> {
    await this.#call(tasks, 'Start', 'Start', { container_id: id });
  }

  /** @returns the exit status */
  async waitTask(id: string): Promise<number> {
    const reply = await this.#call(tasks, 'Wait', 'Wait', { container_id: id });
    return Number(reply['exit_status'] ?? 0);
  }

  /** Applies new limits: the `linux.resources` object of a specification. */
  async updateTask(id: string, resources: Record<string, unknown>): Promise<void> {
    await this.#call(tasks, 'Update', 'UpdateTask', {
      container_id: id,
      resources: {
        type_url: 'types.containerd.io/opencontainers/runtime-spec/1/LinuxResources',
        value: Buffer.from(JSON.stringify(resources)),
      },
    });
  }

  /** An encoded io.containerd.cgroups.v2.Metrics, which `ctr` shows only in part. */
  async taskMetrics(id: string): Promise<Uint8Array> {
    const reply = await this.#call(tasks, 'Metrics', 'Metrics', { filters: [`id==${id}`] });
    const [metric] = reply['metrics'] as { data: { value: Uint8Array } }[];
    if (!metric) throw new Error(`there are no metrics of ${id}`);
    return metric.data.value;
  }

  async checkpointTask(id: string): Promise<void> {
    await this.#call(tasks, 'Checkpoint', 'CheckpointTask', { container_id: id });
  }

  /** One unary gRPC call on a connection of its own. */
  async #call(
    service: string,
    method: string,
    message: string,
    request: Record<string, unknown>,
  ): Promise<Record<string, unknown>> {
    const session = connectHttp2('http://containerd', {
      createConnection: () => connect(this.#address),
    });
    try {
      const body = root.lookupType(`${message}Request`).encode(request).finish();
      const reply = await new Promise<Uint8Array>((resolve, reject) => {
        session.on('error', reject);
        const stream = session.request({
          ':method': 'POST',
          ':path': `/${service}/${method}`,
          'content-type': 'application/grpc',
          te: 'trailers',
          'containerd-namespace': this.#namespace,
        });
        stream.setTimeout(60_000, () => reject(new Error(`${method}: no answer in 60 s`)));
        const chunks: Buffer[] = [];
        let failure: Error | undefined;
        // an error without a body comes in the headers, any other in the trailers
        const status = (headers: Record<string, string | string[] | undefined>) => {
          const code = Number(headers['grpc-status'] ?? 0);
          const text = decodeURIComponent(headers['grpc-message']?.toString() ?? '');
          if (code !== 0) failure = new GrpcError(code, text);
        };
        stream.on('response', status).on('trailers', status).on('error', reject);
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => {
          if (failure) reject(failure);
          // five bytes ahead of the message: a compression flag and the length
          else resolve(Buffer.concat(chunks).subarray(5));
        });
        const head = Buffer.alloc(5);
        head.writeUInt32BE(body.length, 1);
        stream.end(Buffer.concat([head, body]));
      });
      const type = root.lookupType(`${message}Response`);
      return type.toObject(type.decode(reply), { defaults: true });
    } finally {
      session.destroy();
    }
  }
}

/** `ctr run --rm` with a specification that the test has changed. */
export async function runChanged(
  ctr: Ctr,
  options: ContainerOptions,
  change: (spec: Spec) => string | void,
): Promise<Outcome> {
  const id = await ctr.create(options);
  try {
    await new ContainerdApi(ctr).changeSpec(id, change);
    return await ctr.call(ctr.taskStartArgs(id), options);
  } finally {
    await ctr.remove(id);
  }
}
