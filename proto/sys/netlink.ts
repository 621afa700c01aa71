/** AF_NETLINK sockets for rtnetlink: linux/netlink.h. */
import { closeSync, readSync, writeSync } from 'node:fs';
import koffi from 'koffi';
import { Code, RunvError } from '../error.ts';
import { SysError } from './errno.ts';
import { bindSocket, openSocket, orClose } from './fd.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;

const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const headerBytes = 16;
/** The kernel fills no more than this with one part of a dump. */
const receiveBytes = 64 * 1024;

/** One message of an answer, without its header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly body: Buffer;
}

/** A socket that asks the kernel about the network namespace in which it was opened. */
export class Netlink {
  readonly #fd: number;
  #sequence = 0;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  static open(): Netlink {
    return new Netlink(openNetlink(0));
  }

  /** Everything of one kind. @throws SysError named `what` */
  dump(type: number, body: Uint8Array, what: string): NetlinkMessage[] {
    return this.#exchange(type, NLM_F_DUMP, body, what);
  }

  /**
   * Changes something.
   * @param flags NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
   * @throws SysError named `what`
   */
  change(type: number, flags: number, body: Uint8Array, what: string): void {
    this.#exchange(type, flags | NLM_F_ACK, body, what);
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** The kernel answers while it takes the request: no read waits. */
  #exchange(type: number, flags: number, body: Uint8Array, what: string): NetlinkMessage[] {
    const sequence = ++this.#sequence;
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32LE(headerBytes + body.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(flags | NLM_F_REQUEST, 6);
    header.writeUInt32LE(sequence, 8);
    writeSync(this.#fd, Buffer.concat([header, body]));
    const answer: NetlinkMessage[] = [];
    for (;;) {
      const buffer = Buffer.alloc(receiveBytes);
      const datagram = buffer.subarray(0, readSync(this.#fd, buffer));
      for (const message of messagesIn(datagram, what)) {
        if (message.sequence !== sequence) continue; // the rest of an answer given up before
        if (message.type === NLMSG_DONE) return answer;
        if (message.type === NLMSG_ERROR) {
          const errno = -message.body.readInt32LE(0);
          if (errno !== 0) throw new SysError(what, errno);
          return answer;
        }
        answer.push(message);
      }
    }
  }
}

function openNetlink(groups: number): number {
  const fd = openSocket(AF_NETLINK, SOCK_RAW);
  // struct sockaddr_nl: family, pad, port id (the kernel's choice), groups
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(groups, 8);
  return orClose(fd, () => {
    bindSocket(fd, address, 'bind a netlink socket');
    return fd;
  });
}

function* messagesIn(
  datagram: Buffer,
  what: string,
): Generator<NetlinkMessage & { sequence: number }> {
  for (let at = 0; at + headerBytes <= datagram.length;) {
    const length = datagram.readUInt32LE(at);
    if (length < headerBytes || at + length > datagram.length) {
      throw new RunvError(Code.Internal, `${what}: the kernel's answer is cut short`);
    }
    yield {
      type: datagram.readUInt16LE(at + 4),
      sequence: datagram.readUInt32LE(at + 8),
      body: datagram.subarray(at + headerBytes, at + length),
    };
    at += (length + 3) & ~3;
  }
}

/**
 * Calls `onChange` whenever something in `groups` (RTMGRP_ bits) has changed. What changed is not
 * told: when many things do, the kernel drops messages, so a reader has to look anyway.
 */
export function watchNetlink(groups: number, onChange: () => void): { close(): void } {
  const fd = openNetlink(groups);
  const buffer = Buffer.alloc(receiveBytes);
  const poll = koffi.node.poll(fd, { readable: true }, () => {
    try {
      readSync(fd, buffer);
    } catch {
      // ENOBUFS: messages were dropped, which is a change too
    }
    onChange();
  });
  return {
    close() {
      poll.close();
      closeSync(fd);
    },
  };
}
