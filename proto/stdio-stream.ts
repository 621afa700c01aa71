/**
 * How one stdio stream travels over a connection of its own: the hello that names it, then frames
 * in one direction. Described with its reasons in docs/agent-protocol.md.
 *
 * hello: "RVS1", uint32 stream id; frame: uint32 length (1 to 256 KiB), then that many bytes; a
 * length of 0 ends the stream. Integers are big-endian. Whoever receives the end closes the
 * connection, so a close before it is a loss, and nobody needs half-closed connections.
 */
import type { Duplex, Readable, Writable } from 'node:stream';
import { Code, RunvError } from './error.ts';

const magic = 'RVS1';
export const helloBytes = 8;
/** Largest payload of a frame. */
export const maxFrameBytes = 256 * 1024;
const headerBytes = 4;
const endFrame = Buffer.alloc(headerBytes);

/**
 * The first bytes on a stdio connection, written by the shim.
 * @param id nonzero, unique in the life of the VM
 */
export function streamHello(id: number): Buffer {
  const hello = Buffer.allocUnsafe(helloBytes);
  hello.write(magic, 'latin1');
  hello.writeUInt32BE(id, magic.length);
  return hello;
}

/**
 * Reads the hello and nothing after it.
 * @returns the stream's id
 * @throws RunvError InvalidArgument when it is something else, Unavailable when the connection
 * ends first; `connection` is destroyed then
 */
export async function readHello(connection: Duplex): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const lost = () => reject(new RunvError(Code.Unavailable, 'stdio connection lost before hello'));
  const onReadable = () => {
    const bytes = connection.read(helloBytes) as Buffer | null;
    // at the end of the stream, read gives what is left
    if (bytes?.length === helloBytes) resolve(bytes);
  };
  connection.on('readable', onReadable).on('end', lost).on('close', lost).on('error', lost);
  try {
    const hello = await promise;
    const id = hello.readUInt32BE(magic.length);
    if (hello.toString('latin1', 0, magic.length) !== magic || id === 0) {
      throw new RunvError(Code.InvalidArgument, 'stdio connection does not begin with a hello');
    }
    return id;
  } catch (e) {
    connection.destroy();
    throw e;
  } finally {
    connection.off('readable', onReadable).off('end', lost).off('close', lost);
    // the error listener stays: an error on an idle connection must not end the process
  }
}

/**
 * Sends everything `source` yields, then its end, and waits until the receiver has taken all of it.
 * Reads no more than the receiver takes. Either way `connection` is destroyed in the end.
 * @throws RunvError DataLoss when the connection ends before the receiver has got the end
 * @throws what `source` fails with; the receiver then sees DataLoss
 */
export async function writeFrames(source: Readable, connection: Duplex): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let endTaken = false;
  let cause: Error | undefined;

  const onData = (chunk: Buffer) => {
    let more = true;
    connection.cork();
    for (let at = 0; at < chunk.length; at += maxFrameBytes) {
      const payload = chunk.subarray(at, at + maxFrameBytes);
      const header = Buffer.allocUnsafe(headerBytes);
      header.writeUInt32BE(payload.length);
      connection.write(header);
      more = connection.write(payload);
    }
    // header and payload leave in one writev
    connection.uncork();
    if (!more) source.pause();
  };
  const onEnd = () => {
    connection.write(endFrame, (e) => (endTaken = !e));
  };
  const onSourceClose = () => {
    if (!source.readableEnded) reject(source.errored ?? new Error('the stream was closed'));
  };
  const onError = (e: Error) => (cause = e);
  const onClose = () => {
    if (endTaken && !cause) resolve();
    else reject(new RunvError(Code.DataLoss, 'stdio connection lost before the end', { cause }));
  };
  const onDrain = () => source.resume();

  connection.on('drain', onDrain).on('error', onError).on('close', onClose);
  // nothing is expected back, but only reading shows that the peer has closed
  connection.on('end', () => connection.destroy()).resume();
  source.on('data', onData).on('end', onEnd).on('error', reject).on('close', onSourceClose);
  if (connection.closed) onClose();
  if (source.readableEnded) onEnd();
  else if (source.destroyed) onSourceClose();
  else source.resume();
  try {
    await promise;
  } finally {
    source.off('data', onData).off('end', onEnd).off('close', onSourceClose);
    connection.off('drain', onDrain).off('close', onClose);
    connection.destroy();
  }
}

/**
 * Writes the payload of what arrives to `sink`, which it does not end. Takes no more than `sink`
 * takes. Either way `connection` is destroyed in the end: after the end of the stream only when
 * `sink` has taken everything, which tells the sender so.
 * @throws RunvError DataLoss when the connection ends before the stream does
 * @throws RunvError ResourceExhausted when a frame is larger than `maxFrameBytes`
 * @throws what `sink` fails with
 */
export async function readFrames(connection: Duplex, sink: Writable): Promise<'eof'> {
  const { promise, resolve, reject } = Promise.withResolvers<'eof'>();
  const header = Buffer.alloc(headerBytes);
  let headerFilled = 0;
  let payloadLeft = 0;
  let cause: Error | undefined;

  const onData = (chunk: Buffer) => {
    let at = 0;
    while (at < chunk.length) {
      if (payloadLeft > 0) {
        const part = chunk.subarray(at, at + payloadLeft);
        at += part.length;
        payloadLeft -= part.length;
        if (!sink.write(part)) connection.pause();
        continue;
      }
      const copied = chunk.copy(header, headerFilled, at);
      at += copied;
      headerFilled += copied;
      if (headerFilled < headerBytes) return;
      headerFilled = 0;
      payloadLeft = header.readUInt32BE();
      if (payloadLeft > maxFrameBytes) {
        const message = `stdio frame of ${payloadLeft} bytes, more than ${maxFrameBytes}`;
        return reject(new RunvError(Code.ResourceExhausted, message));
      }
      if (payloadLeft === 0) return onEnd();
    }
  };
  const onEnd = () => {
    connection.off('data', onData).off('close', onClose);
    whenFlushed(sink, () => resolve('eof'));
  };
  const onDrain = () => connection.resume();
  const onError = (e: Error) => (cause = e);
  const onClose = () =>
    reject(new RunvError(Code.DataLoss, 'stdio connection lost before the end', { cause }));
  const onSinkClose = () => reject(sink.errored ?? new Error('the stream was closed'));

  connection.on('error', onError).on('close', onClose).on('end', onClose);
  sink.on('drain', onDrain).on('error', reject).on('close', onSinkClose);
  if (sink.destroyed) onSinkClose();
  else if (connection.closed) onClose();
  else connection.on('data', onData).resume();
  try {
    return await promise;
  } finally {
    connection.off('data', onData).off('close', onClose).off('end', onClose);
    sink.off('drain', onDrain).off('close', onSinkClose);
    connection.destroy();
  }
}

/** Calls back once nothing written to `sink` is waiting any more. */
function whenFlushed(sink: Writable, done: () => void): void {
  if (sink.writableLength === 0) return done();
  // an empty write's callback comes after those of all writes before it
  sink.write(Buffer.alloc(0), () => done());
}
