/** containerd's ttrpc: servers and clients over any Duplex. */
export { Client } from './client.ts';
export { Server, type FailedCall, type ServerOptions } from './server.ts';
export { bidi, clientStream, serverStream, service, unary } from './service.ts';
export type {
  CallContext,
  CallOptions,
  ClientOf,
  Codec,
  Handlers,
  Kind,
  Method,
  Methods,
  Service,
} from './service.ts';
