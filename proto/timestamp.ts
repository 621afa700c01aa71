/** google.protobuf.Timestamp to and from what JavaScript keeps. */
import type { ITimestamp, Timestamp } from './gen/google.ts';

const nsPerSecond = 1_000_000_000n;

/** @param unixNs nanoseconds since 1970, exact; may be negative */
export function timestampFromNs(unixNs: bigint): Timestamp {
  // nanos counts forward even before 1970
  const nanos = ((unixNs % nsPerSecond) + nsPerSecond) % nsPerSecond;
  return { seconds: (unixNs - nanos) / nsPerSecond, nanos: Number(nanos) };
}

export function timestampFromDate(date: Date): Timestamp {
  return timestampFromNs(BigInt(date.getTime()) * 1_000_000n);
}

/** Nanoseconds since 1970; an absent timestamp is 1970 itself, as in Go's generated code. */
export function nsFromTimestamp(timestamp: ITimestamp | undefined): bigint {
  return BigInt(timestamp?.seconds ?? 0) * nsPerSecond + BigInt(timestamp?.nanos ?? 0);
}

/** Rounded down to milliseconds. An invalid Date when out of Date's range. */
export function dateFromTimestamp(timestamp: ITimestamp | undefined): Date {
  const ms = nsFromTimestamp(timestamp) / 1_000_000n;
  return new Date(Number(ms));
}
