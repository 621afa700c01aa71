/**
 * ttrpc frames: a ten-byte header, then data.
 * Source: containerd/ttrpc PROTOCOL.md, "Message Frame"; NoData is in its channel.go only.
 */
import { Code, RunvError } from '../error.ts';

export const headerBytes = 10;
/** Longest data of one frame; a longer one is discarded and answered with ResourceExhausted. */
export const maxDataBytes = 4 << 20;

export const FrameType = { Request: 1, Response: 2, Data: 3 } as const;

/**
 * Remote means whoever receives the frame: RemoteClosed says that it has nothing more to expect,
 * RemoteOpen (in a request) that data frames follow, NoData that the empty data is no message.
 */
export const Flag = { RemoteClosed: 1, RemoteOpen: 2, NoData: 4 } as const;

export interface FrameHeader {
  readonly streamId: number;
  /** Other values than FrameType's are from a later protocol, to be ignored. */
  readonly type: number;
  readonly flags: number;
}

export interface Frame extends FrameHeader {
  readonly data: Uint8Array;
}

/** @throws RunvError ResourceExhausted when the data is longer than `maxDataBytes` */
export function encodeFrame({ streamId, type, flags, data }: Frame): Buffer {
  if (data.length > maxDataBytes) throw tooLong(data.length);
  const frame = Buffer.allocUnsafe(headerBytes + data.length);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(streamId, 4);
  frame[8] = type;
  frame[9] = flags;
  frame.set(data, headerBytes);
  return frame;
}

export function tooLong(lengthBytes: number): RunvError {
  return new RunvError(
    Code.ResourceExhausted,
    `message of ${lengthBytes} bytes is longer than ttrpc's limit of ${maxDataBytes}`,
  );
}

/** What a parser found. */
export interface FrameSink {
  frame(frame: Frame): void;
  /** The data of this frame was longer than allowed and is being thrown away. */
  oversize(header: FrameHeader, lengthBytes: number): void;
}

// a peer that announces 4 MiB and sends nothing shall not cost 4 MiB
const firstAllocationBytes = 64 << 10;

/** Cuts a byte stream into frames. Keeps at most one frame, and of that only what has arrived. */
export class FrameParser {
  private readonly sink: FrameSink;
  private readonly header = Buffer.alloc(headerBytes);
  private headerFilled = 0;
  private data = Buffer.alloc(0);
  private dataFilled = 0;
  private discard = 0;

  constructor(sink: FrameSink) {
    this.sink = sink;
  }

  /** False when the stream may end here. */
  get insideFrame(): boolean {
    return this.headerFilled > 0 || this.discard > 0;
  }

  /** The frames' data may be views of `chunk`. */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.discard > 0) rest = this.skip(rest);
      else if (this.headerFilled < headerBytes) rest = this.readHeader(rest);
      else rest = this.readData(rest);
    }
  }

  private skip(chunk: Buffer): Buffer {
    const skipped = Math.min(this.discard, chunk.length);
    this.discard -= skipped;
    return chunk.subarray(skipped);
  }

  private readHeader(chunk: Buffer): Buffer {
    const copied = chunk.copy(this.header, this.headerFilled);
    this.headerFilled += copied;
    const rest = chunk.subarray(copied);
    if (this.headerFilled < headerBytes) return rest;

    const length = this.header.readUInt32BE(0);
    if (length > maxDataBytes) {
      this.headerFilled = 0;
      this.discard = length;
      this.sink.oversize(this.decodedHeader(), length);
      return rest;
    }
    if (rest.length >= length) {
      // the usual case, without a copy
      this.emit(rest.subarray(0, length));
      return rest.subarray(length);
    }
    this.data = Buffer.allocUnsafe(Math.min(length, firstAllocationBytes));
    this.dataFilled = 0;
    return rest;
  }

  private readData(chunk: Buffer): Buffer {
    const length = this.header.readUInt32BE(0);
    const wanted = Math.min(length - this.dataFilled, chunk.length);
    if (this.dataFilled + wanted > this.data.length) {
      const larger = Buffer.allocUnsafe(
        Math.min(length, Math.max(this.data.length * 2, this.dataFilled + wanted)),
      );
      this.data.copy(larger, 0, 0, this.dataFilled);
      this.data = larger;
    }
    chunk.copy(this.data, this.dataFilled, 0, wanted);
    this.dataFilled += wanted;
    if (this.dataFilled === length) {
      const { data } = this;
      this.data = Buffer.alloc(0);
      this.emit(data);
    }
    return chunk.subarray(wanted);
  }

  private emit(data: Buffer): void {
    this.headerFilled = 0;
    this.sink.frame({ ...this.decodedHeader(), data });
  }

  private decodedHeader(): FrameHeader {
    return {
      streamId: this.header.readUInt32BE(4),
      type: this.header.readUInt8(8),
      flags: this.header.readUInt8(9),
    };
  }
}
