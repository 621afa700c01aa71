/**
 * The status codes that cross every protocol spoken here: containerd, shim and agent.
 * Source: google.rpc.Code, which ttrpc and gRPC share.
 */
export const Code = {
  OK: 0,
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

/** What a failed call sends over the wire: google.rpc.Status without details. */
export interface Status {
  readonly code: number;
  readonly message: string;
}

/** An error whose code travels unchanged from where it arises to containerd. */
export class RunvError extends Error {
  override readonly name = 'RunvError';
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const knownCodes: ReadonlySet<number> = new Set(Object.values(Code));

/** The only mapping from an exception to a wire status. */
export function toStatus(e: unknown): Status {
  if (e instanceof RunvError) return { code: e.code, message: e.message };
  if (!(e instanceof Error)) return { code: Code.Unknown, message: String(e) };
  if (e.name === 'AbortError') return { code: Code.Canceled, message: e.message };
  if (e.name === 'TimeoutError') return { code: Code.DeadlineExceeded, message: e.message };
  return { code: Code.Unknown, message: e.message };
}

/** The only mapping back: a code this side does not know becomes Unknown. */
export function fromStatus(status: Status): RunvError {
  const code = knownCodes.has(status.code) ? (status.code as Code) : Code.Unknown;
  return new RunvError(code, status.message);
}
