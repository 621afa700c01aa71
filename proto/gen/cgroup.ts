// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';

export interface PidsStat {
  current: bigint;
  limit: bigint;
}
/** What PidsStat.encode takes. */
export interface IPidsStat {
  current?: number | bigint | undefined;
  limit?: number | bigint | undefined;
}
export const PidsStat: MessageType<IPidsStat, PidsStat> = /* @__PURE__ */ message('io.containerd.cgroups.v2.PidsStat', [
  [1, 'current', 'uint64'],
  [2, 'limit', 'uint64'],
]);

export interface PSIData {
  avg10: number;
  avg60: number;
  avg300: number;
  total: bigint;
}
/** What PSIData.encode takes. */
export interface IPSIData {
  avg10?: number | undefined;
  avg60?: number | undefined;
  avg300?: number | undefined;
  total?: number | bigint | undefined;
}
export const PSIData: MessageType<IPSIData, PSIData> = /* @__PURE__ */ message('io.containerd.cgroups.v2.PSIData', [
  [1, 'avg10', 'double'],
  [2, 'avg60', 'double'],
  [3, 'avg300', 'double'],
  [4, 'total', 'uint64'],
]);

export interface PSIStats {
  some: PSIData | undefined;
  full: PSIData | undefined;
}
/** What PSIStats.encode takes. */
export interface IPSIStats {
  some?: IPSIData | undefined;
  full?: IPSIData | undefined;
}
export const PSIStats: MessageType<IPSIStats, PSIStats> = /* @__PURE__ */ message('io.containerd.cgroups.v2.PSIStats', [
  [1, 'some', PSIData],
  [2, 'full', PSIData],
]);

export interface CPUStat {
  usageUsec: bigint;
  userUsec: bigint;
  systemUsec: bigint;
  nrPeriods: bigint;
  nrThrottled: bigint;
  throttledUsec: bigint;
  psi: PSIStats | undefined;
}
/** What CPUStat.encode takes. */
export interface ICPUStat {
  usageUsec?: number | bigint | undefined;
  userUsec?: number | bigint | undefined;
  systemUsec?: number | bigint | undefined;
  nrPeriods?: number | bigint | undefined;
  nrThrottled?: number | bigint | undefined;
  throttledUsec?: number | bigint | undefined;
  psi?: IPSIStats | undefined;
}
export const CPUStat: MessageType<ICPUStat, CPUStat> = /* @__PURE__ */ message('io.containerd.cgroups.v2.CPUStat', [
  [1, 'usageUsec', 'uint64'],
  [2, 'userUsec', 'uint64'],
  [3, 'systemUsec', 'uint64'],
  [4, 'nrPeriods', 'uint64'],
  [5, 'nrThrottled', 'uint64'],
  [6, 'throttledUsec', 'uint64'],
  [7, 'psi', PSIStats],
]);

export interface MemoryStat {
  anon: bigint;
  file: bigint;
  kernelStack: bigint;
  slab: bigint;
  sock: bigint;
  shmem: bigint;
  fileMapped: bigint;
  fileDirty: bigint;
  fileWriteback: bigint;
  anonThp: bigint;
  inactiveAnon: bigint;
  activeAnon: bigint;
  inactiveFile: bigint;
  activeFile: bigint;
  unevictable: bigint;
  slabReclaimable: bigint;
  slabUnreclaimable: bigint;
  pgfault: bigint;
  pgmajfault: bigint;
  workingsetRefault: bigint;
  workingsetActivate: bigint;
  workingsetNodereclaim: bigint;
  pgrefill: bigint;
  pgscan: bigint;
  pgsteal: bigint;
  pgactivate: bigint;
  pgdeactivate: bigint;
  pglazyfree: bigint;
  pglazyfreed: bigint;
  thpFaultAlloc: bigint;
  thpCollapseAlloc: bigint;
  usage: bigint;
  usageLimit: bigint;
  swapUsage: bigint;
  swapLimit: bigint;
  maxUsage: bigint;
  swapMaxUsage: bigint;
  psi: PSIStats | undefined;
}
/** What MemoryStat.encode takes. */
export interface IMemoryStat {
  anon?: number | bigint | undefined;
  file?: number | bigint | undefined;
  kernelStack?: number | bigint | undefined;
  slab?: number | bigint | undefined;
  sock?: number | bigint | undefined;
  shmem?: number | bigint | undefined;
  fileMapped?: number | bigint | undefined;
  fileDirty?: number | bigint | undefined;
  fileWriteback?: number | bigint | undefined;
  anonThp?: number | bigint | undefined;
  inactiveAnon?: number | bigint | undefined;
  activeAnon?: number | bigint | undefined;
  inactiveFile?: number | bigint | undefined;
  activeFile?: number | bigint | undefined;
  unevictable?: number | bigint | undefined;
  slabReclaimable?: number | bigint | undefined;
  slabUnreclaimable?: number | bigint | undefined;
  pgfault?: number | bigint | undefined;
  pgmajfault?: number | bigint | undefined;
  workingsetRefault?: number | bigint | undefined;
  workingsetActivate?: number | bigint | undefined;
  workingsetNodereclaim?: number | bigint | undefined;
  pgrefill?: number | bigint | undefined;
  pgscan?: number | bigint | undefined;
  pgsteal?: number | bigint | undefined;
  pgactivate?: number | bigint | undefined;
  pgdeactivate?: number | bigint | undefined;
  pglazyfree?: number | bigint | undefined;
  pglazyfreed?: number | bigint | undefined;
  thpFaultAlloc?: number | bigint | undefined;
  thpCollapseAlloc?: number | bigint | undefined;
  usage?: number | bigint | undefined;
  usageLimit?: number | bigint | undefined;
  swapUsage?: number | bigint | undefined;
  swapLimit?: number | bigint | undefined;
  maxUsage?: number | bigint | undefined;
  swapMaxUsage?: number | bigint | undefined;
  psi?: IPSIStats | undefined;
}
export const MemoryStat: MessageType<IMemoryStat, MemoryStat> = /* @__PURE__ */ message('io.containerd.cgroups.v2.MemoryStat', [
  [1, 'anon', 'uint64'],
  [2, 'file', 'uint64'],
  [3, 'kernelStack', 'uint64'],
  [4, 'slab', 'uint64'],
  [5, 'sock', 'uint64'],
  [6, 'shmem', 'uint64'],
  [7, 'fileMapped', 'uint64'],
  [8, 'fileDirty', 'uint64'],
  [9, 'fileWriteback', 'uint64'],
  [10, 'anonThp', 'uint64'],
  [11, 'inactiveAnon', 'uint64'],
  [12, 'activeAnon', 'uint64'],
  [13, 'inactiveFile', 'uint64'],
  [14, 'activeFile', 'uint64'],
  [15, 'unevictable', 'uint64'],
  [16, 'slabReclaimable', 'uint64'],
  [17, 'slabUnreclaimable', 'uint64'],
  [18, 'pgfault', 'uint64'],
  [19, 'pgmajfault', 'uint64'],
  [20, 'workingsetRefault', 'uint64'],
  [21, 'workingsetActivate', 'uint64'],
  [22, 'workingsetNodereclaim', 'uint64'],
  [23, 'pgrefill', 'uint64'],
  [24, 'pgscan', 'uint64'],
  [25, 'pgsteal', 'uint64'],
  [26, 'pgactivate', 'uint64'],
  [27, 'pgdeactivate', 'uint64'],
  [28, 'pglazyfree', 'uint64'],
  [29, 'pglazyfreed', 'uint64'],
  [30, 'thpFaultAlloc', 'uint64'],
  [31, 'thpCollapseAlloc', 'uint64'],
  [32, 'usage', 'uint64'],
  [33, 'usageLimit', 'uint64'],
  [34, 'swapUsage', 'uint64'],
  [35, 'swapLimit', 'uint64'],
  [36, 'maxUsage', 'uint64'],
  [37, 'swapMaxUsage', 'uint64'],
  [38, 'psi', PSIStats],
]);

export interface RdmaEntry {
  device: string;
  hcaHandles: number;
  hcaObjects: number;
}
/** What RdmaEntry.encode takes. */
export interface IRdmaEntry {
  device?: string | undefined;
  hcaHandles?: number | undefined;
  hcaObjects?: number | undefined;
}
export const RdmaEntry: MessageType<IRdmaEntry, RdmaEntry> = /* @__PURE__ */ message('io.containerd.cgroups.v2.RdmaEntry', [
  [1, 'device', 'string'],
  [2, 'hcaHandles', 'uint32'],
  [3, 'hcaObjects', 'uint32'],
]);

export interface RdmaStat {
  current: RdmaEntry[];
  limit: RdmaEntry[];
}
/** What RdmaStat.encode takes. */
export interface IRdmaStat {
  current?: readonly IRdmaEntry[] | undefined;
  limit?: readonly IRdmaEntry[] | undefined;
}
export const RdmaStat: MessageType<IRdmaStat, RdmaStat> = /* @__PURE__ */ message('io.containerd.cgroups.v2.RdmaStat', [
  [1, 'current', RdmaEntry, 'repeated'],
  [2, 'limit', RdmaEntry, 'repeated'],
]);

export interface IOEntry {
  major: bigint;
  minor: bigint;
  rbytes: bigint;
  wbytes: bigint;
  rios: bigint;
  wios: bigint;
}
/** What IOEntry.encode takes. */
export interface IIOEntry {
  major?: number | bigint | undefined;
  minor?: number | bigint | undefined;
  rbytes?: number | bigint | undefined;
  wbytes?: number | bigint | undefined;
  rios?: number | bigint | undefined;
  wios?: number | bigint | undefined;
}
export const IOEntry: MessageType<IIOEntry, IOEntry> = /* @__PURE__ */ message('io.containerd.cgroups.v2.IOEntry', [
  [1, 'major', 'uint64'],
  [2, 'minor', 'uint64'],
  [3, 'rbytes', 'uint64'],
  [4, 'wbytes', 'uint64'],
  [5, 'rios', 'uint64'],
  [6, 'wios', 'uint64'],
]);

export interface IOStat {
  usage: IOEntry[];
  psi: PSIStats | undefined;
}
/** What IOStat.encode takes. */
export interface IIOStat {
  usage?: readonly IIOEntry[] | undefined;
  psi?: IPSIStats | undefined;
}
export const IOStat: MessageType<IIOStat, IOStat> = /* @__PURE__ */ message('io.containerd.cgroups.v2.IOStat', [
  [1, 'usage', IOEntry, 'repeated'],
  [2, 'psi', PSIStats],
]);

export interface HugeTlbStat {
  current: bigint;
  max: bigint;
  pagesize: string;
}
/** What HugeTlbStat.encode takes. */
export interface IHugeTlbStat {
  current?: number | bigint | undefined;
  max?: number | bigint | undefined;
  pagesize?: string | undefined;
}
export const HugeTlbStat: MessageType<IHugeTlbStat, HugeTlbStat> = /* @__PURE__ */ message('io.containerd.cgroups.v2.HugeTlbStat', [
  [1, 'current', 'uint64'],
  [2, 'max', 'uint64'],
  [3, 'pagesize', 'string'],
]);

export interface MemoryEvents {
  low: bigint;
  high: bigint;
  max: bigint;
  oom: bigint;
  oomKill: bigint;
}
/** What MemoryEvents.encode takes. */
export interface IMemoryEvents {
  low?: number | bigint | undefined;
  high?: number | bigint | undefined;
  max?: number | bigint | undefined;
  oom?: number | bigint | undefined;
  oomKill?: number | bigint | undefined;
}
export const MemoryEvents: MessageType<IMemoryEvents, MemoryEvents> = /* @__PURE__ */ message('io.containerd.cgroups.v2.MemoryEvents', [
  [1, 'low', 'uint64'],
  [2, 'high', 'uint64'],
  [3, 'max', 'uint64'],
  [4, 'oom', 'uint64'],
  [5, 'oomKill', 'uint64'],
]);

export interface NetworkStat {
  name: string;
  rxBytes: bigint;
  rxPackets: bigint;
  rxErrors: bigint;
  rxDropped: bigint;
  txBytes: bigint;
  txPackets: bigint;
  txErrors: bigint;
  txDropped: bigint;
}
/** What NetworkStat.encode takes. */
export interface INetworkStat {
  name?: string | undefined;
  rxBytes?: number | bigint | undefined;
  rxPackets?: number | bigint | undefined;
  rxErrors?: number | bigint | undefined;
  rxDropped?: number | bigint | undefined;
  txBytes?: number | bigint | undefined;
  txPackets?: number | bigint | undefined;
  txErrors?: number | bigint | undefined;
  txDropped?: number | bigint | undefined;
}
export const NetworkStat: MessageType<INetworkStat, NetworkStat> = /* @__PURE__ */ message('io.containerd.cgroups.v2.NetworkStat', [
  [1, 'name', 'string'],
  [2, 'rxBytes', 'uint64'],
  [3, 'rxPackets', 'uint64'],
  [4, 'rxErrors', 'uint64'],
  [5, 'rxDropped', 'uint64'],
  [6, 'txBytes', 'uint64'],
  [7, 'txPackets', 'uint64'],
  [8, 'txErrors', 'uint64'],
  [9, 'txDropped', 'uint64'],
]);

export interface Metrics {
  pids: PidsStat | undefined;
  cpu: CPUStat | undefined;
  memory: MemoryStat | undefined;
  rdma: RdmaStat | undefined;
  io: IOStat | undefined;
  hugetlb: HugeTlbStat[];
  memoryEvents: MemoryEvents | undefined;
  network: NetworkStat[];
}
/** What Metrics.encode takes. */
export interface IMetrics {
  pids?: IPidsStat | undefined;
  cpu?: ICPUStat | undefined;
  memory?: IMemoryStat | undefined;
  rdma?: IRdmaStat | undefined;
  io?: IIOStat | undefined;
  hugetlb?: readonly IHugeTlbStat[] | undefined;
  memoryEvents?: IMemoryEvents | undefined;
  network?: readonly INetworkStat[] | undefined;
}
export const Metrics: MessageType<IMetrics, Metrics> = /* @__PURE__ */ message('io.containerd.cgroups.v2.Metrics', [
  [1, 'pids', PidsStat],
  [2, 'cpu', CPUStat],
  [4, 'memory', MemoryStat],
  [5, 'rdma', RdmaStat],
  [6, 'io', IOStat],
  [7, 'hugetlb', HugeTlbStat, 'repeated'],
  [8, 'memoryEvents', MemoryEvents],
  [9, 'network', NetworkStat, 'repeated'],
]);
