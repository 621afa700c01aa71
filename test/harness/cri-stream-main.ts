/**
 * One end of a CRI stream, as kubelet's client has it: standard streams here, the process there.
 *
 *   cri-stream-main.ts URL [COLUMNSxROWS]
 *
 * Runs in the network namespace of containerd's streaming server. Ends with the process's status.
 */
import { Buffer } from 'node:buffer';

/** Channels of the protocol (kubernetes, remotecommand: v4.channel.k8s.io). */
const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

const [url = '', size] = process.argv.slice(2);
const socket = new WebSocket(url.replace(/^http/, 'ws'), ['v4.channel.k8s.io']);
socket.binaryType = 'arraybuffer';
const send = (channel: number, data: Uint8Array) =>
  socket.send(Buffer.concat([Buffer.of(channel), data]));
let status = 255;

socket.onopen = () => {
  if (size !== undefined) {
    const [Width, Height] = size.split('x').map(Number);
    send(channels.resize, Buffer.from(JSON.stringify({ Width, Height })));
  }
  process.stdin.on('data', (data: Buffer) => send(channels.stdin, data));
  process.stdin.on('end', () => undefined);
};
socket.onmessage = ({ data }) => {
  const bytes = Buffer.from(data as ArrayBuffer);
  const payload = bytes.subarray(1);
  if (bytes[0] === channels.stdout) process.stdout.write(payload);
  else if (bytes[0] === channels.stderr) process.stderr.write(payload);
  else if (bytes[0] === channels.error && payload.length > 0) status = statusOf(payload.toString());
};
socket.onerror = () => process.stderr.write('the stream broke\n');
// what was written may still be on its way
socket.onclose = () => {
  process.exitCode = status;
  process.stdin.destroy();
};

/** Kubernetes' Status object: its cause `ExitCode` has the number. */
function statusOf(text: string): number {
  const { status: how, details } = JSON.parse(text) as {
    status: string;
    details?: { causes?: { reason: string; message: string }[] };
  };
  if (how === 'Success') return 0;
  const code = details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  if (code === undefined) process.stderr.write(`${text}\n`);
  return Number(code ?? 255);
}
