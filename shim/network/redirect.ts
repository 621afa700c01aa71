import { attribute, nested, NLM_F_CREATE, NLM_F_EXCL } from '../../proto/rtnetlink.ts';
import { errnos, inNetworkNamespace, Netlink, SysError } from '../../proto/sys.ts';

// linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_mirred.h
const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const TC_H_INGRESS = 0xfffffff1;
const ingressHandle = 0xffff0000;
const [TCA_KIND, TCA_OPTIONS] = [1, 2];
const [TCA_U32_SEL, TCA_U32_ACT] = [5, 7];
const TC_U32_TERMINAL = 1;
const [TCA_ACT_KIND, TCA_ACT_OPTIONS] = [1, 2];
const TCA_MIRRED_PARMS = 2;
const TC_ACT_STOLEN = 4;
const TCA_EGRESS_REDIR = 1;
/** Priority 1, every protocol (ETH_P_ALL in network byte order). */
const firstOfAll = (1 << 16) | 0x0300;

/**
 * Sends whatever arrives on one interface out of the other, before the host's own stack sees it.
 * Replaces what was set up before. Ends with the first interface or by `removeRedirect`; once the
 * other one is gone everything that arrives is lost.
 */
export function redirect(netlink: Netlink, from: number, to: number): void {
  const what = `redirect interface ${from} to ${to}`;
  removeQueue(netlink, from);
  netlink.change(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, queueOf(from), what);
  const filter = [
    message(from, 0, ingressHandle, firstOfAll),
    attribute(TCA_KIND, 'u32'),
    nested(
      TCA_OPTIONS,
      attribute(TCA_U32_SEL, everything()),
      nested(
        TCA_U32_ACT,
        nested(
          1, // the first action
          attribute(TCA_ACT_KIND, 'mirred'),
          nested(TCA_ACT_OPTIONS, attribute(TCA_MIRRED_PARMS, mirred(to))),
        ),
      ),
    ),
  ];
  netlink.change(RTM_NEWTFILTER, NLM_F_CREATE, Buffer.concat(filter), what);
}

/**
 * Lets the namespace's own stack see again what arrives on an interface, if that is still there.
 * @param namespace path of the network namespace
 */
export function removeRedirect(namespace: string, from: number): void {
  const netlink = inNetworkNamespace(namespace, () => Netlink.open());
  try {
    removeQueue(netlink, from);
  } finally {
    netlink.close();
  }
}

function removeQueue(netlink: Netlink, from: number): void {
  try {
    netlink.change(RTM_DELQDISC, 0, queueOf(from), `remove the redirection of interface ${from}`);
  } catch (e) {
    const { ENOENT, EINVAL, ENODEV } = errnos;
    // no queue, or no interface
    if (!(e instanceof SysError && [ENOENT, EINVAL, ENODEV].some((n) => n === e.errno))) throw e;
  }
}

function queueOf(index: number): Buffer {
  const queue = [message(index, ingressHandle, TC_H_INGRESS, 0), attribute(TCA_KIND, 'ingress')];
  return Buffer.concat(queue);
}

/** struct tcmsg: family and pads, index, handle, parent, info. */
function message(index: number, handle: number, parent: number, info: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(handle, 8);
  bytes.writeUInt32LE(parent, 12);
  bytes.writeUInt32LE(info, 16);
  return bytes;
}

/** struct tc_u32_sel with one key whose mask is empty: u32 is in kernels that have no matchall. */
function everything(): Buffer {
  const bytes = Buffer.alloc(16 + 16);
  bytes.writeUInt8(TC_U32_TERMINAL, 0);
  bytes.writeUInt8(1, 2); // keys
  return bytes;
}

/** struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex. */
function mirred(to: number): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeInt32LE(TC_ACT_STOLEN, 8);
  bytes.writeInt32LE(TCA_EGRESS_REDIR, 20);
  bytes.writeUInt32LE(to, 24);
  return bytes;
}
