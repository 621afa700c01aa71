// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';
import * as cgroup from './cgroup.ts';
import * as google from './google.ts';

export interface ConfigureRequest {
  /** The host's clock, to which the guest's is set. */
  time: google.Timestamp | undefined;
  /** Bytes for the kernel's random pool, credited in full. 32 to 512 bytes. */
  entropy: Uint8Array;
  /** Empty: keep the kernel's. */
  hostname: string;
  /** The pod's kernel parameters, by their names with dots. InvalidArgument for one that cannot be set. */
  sysctls: Record<string, string>;
}
/** What ConfigureRequest.encode takes. */
export interface IConfigureRequest {
  time?: google.ITimestamp | undefined;
  entropy?: Uint8Array | undefined;
  hostname?: string | undefined;
  sysctls?: Readonly<Record<string, string>> | undefined;
}
export const ConfigureRequest: MessageType<IConfigureRequest, ConfigureRequest> = /* @__PURE__ */ message('runv.agent.v1.ConfigureRequest', [
  [1, 'time', google.Timestamp],
  [2, 'entropy', 'bytes'],
  [3, 'hostname', 'string'],
  [4, 'sysctls', 'string', 'map'],
]);

export interface ConfigureResponse {
  agentVersion: string;
  kernelRelease: string;
}
/** What ConfigureResponse.encode takes. */
export interface IConfigureResponse {
  agentVersion?: string | undefined;
  kernelRelease?: string | undefined;
}
export const ConfigureResponse: MessageType<IConfigureResponse, ConfigureResponse> = /* @__PURE__ */ message('runv.agent.v1.ConfigureResponse', [
  [1, 'agentVersion', 'string'],
  [2, 'kernelRelease', 'string'],
]);

export interface Address {
  address: Uint8Array;
  prefixLength: number;
  /** linux/rtnetlink.h, RT_SCOPE_. */
  scope: number;
}
/** What Address.encode takes. */
export interface IAddress {
  address?: Uint8Array | undefined;
  prefixLength?: number | undefined;
  scope?: number | undefined;
}
export const Address: MessageType<IAddress, Address> = /* @__PURE__ */ message('runv.agent.v1.Address', [
  [1, 'address', 'bytes'],
  [2, 'prefixLength', 'uint32'],
  [3, 'scope', 'uint32'],
]);

export interface Interface {
  /** The machine's network device: the one that had MAC 02:72:75:6e:76:<device> at power-on. */
  device: number;
  /** 1 to 15 bytes. */
  name: string;
  /** 6 bytes. */
  mac: Uint8Array;
  mtu: number;
  addresses: Address[];
  /** Somebody has taken it down since the pod started. */
  down: boolean;
  /** It resolves no addresses (IFF_NOARP): whatever is sent there arrives. */
  noArp: boolean;
}
/** What Interface.encode takes. */
export interface IInterface {
  device?: number | undefined;
  name?: string | undefined;
  mac?: Uint8Array | undefined;
  mtu?: number | undefined;
  addresses?: readonly IAddress[] | undefined;
  down?: boolean | undefined;
  noArp?: boolean | undefined;
}
export const Interface: MessageType<IInterface, Interface> = /* @__PURE__ */ message('runv.agent.v1.Interface', [
  [1, 'device', 'uint32'],
  [2, 'name', 'string'],
  [3, 'mac', 'bytes'],
  [4, 'mtu', 'uint32'],
  [5, 'addresses', Address, 'repeated'],
  [6, 'down', 'bool'],
  [7, 'noArp', 'bool'],
]);

export interface Route {
  /** 4 or 6. */
  version: number;
  /** Empty: the default route. */
  destination: Uint8Array;
  prefixLength: number;
  /** Empty: the destination is on the link. */
  gateway: Uint8Array;
  device: number;
  /** Preferred source address; empty: the kernel's choice. */
  source: Uint8Array;
  metric: number;
  /** linux/rtnetlink.h: RT_SCOPE_, RTN_ (unicast 1, blackhole 6, unreachable 7, prohibit 8). */
  scope: number;
  type: number;
  /** The gateway is on the link, whatever the other routes say. */
  onLink: boolean;
}
/** What Route.encode takes. */
export interface IRoute {
  version?: number | undefined;
  destination?: Uint8Array | undefined;
  prefixLength?: number | undefined;
  gateway?: Uint8Array | undefined;
  device?: number | undefined;
  source?: Uint8Array | undefined;
  metric?: number | undefined;
  scope?: number | undefined;
  type?: number | undefined;
  onLink?: boolean | undefined;
}
export const Route: MessageType<IRoute, Route> = /* @__PURE__ */ message('runv.agent.v1.Route', [
  [1, 'version', 'uint32'],
  [2, 'destination', 'bytes'],
  [3, 'prefixLength', 'uint32'],
  [4, 'gateway', 'bytes'],
  [5, 'device', 'uint32'],
  [6, 'source', 'bytes'],
  [7, 'metric', 'uint32'],
  [8, 'scope', 'uint32'],
  [9, 'type', 'uint32'],
  [10, 'onLink', 'bool'],
]);

export interface Neighbor {
  device: number;
  address: Uint8Array;
  mac: Uint8Array;
}
/** What Neighbor.encode takes. */
export interface INeighbor {
  device?: number | undefined;
  address?: Uint8Array | undefined;
  mac?: Uint8Array | undefined;
}
export const Neighbor: MessageType<INeighbor, Neighbor> = /* @__PURE__ */ message('runv.agent.v1.Neighbor', [
  [1, 'device', 'uint32'],
  [2, 'address', 'bytes'],
  [3, 'mac', 'bytes'],
]);

/** The main routing table and what it needs. Addresses are 4 bytes (IPv4) or 16 (IPv6). */
export interface Network {
  interfaces: Interface[];
  routes: Route[];
  /** Those that were set by hand. */
  neighbors: Neighbor[];
}
/** What Network.encode takes. */
export interface INetwork {
  interfaces?: readonly IInterface[] | undefined;
  routes?: readonly IRoute[] | undefined;
  neighbors?: readonly INeighbor[] | undefined;
}
export const Network: MessageType<INetwork, Network> = /* @__PURE__ */ message('runv.agent.v1.Network', [
  [1, 'interfaces', Interface, 'repeated'],
  [2, 'routes', Route, 'repeated'],
  [3, 'neighbors', Neighbor, 'repeated'],
]);

/**
 * A disk of the virtio-scsi controller. The agent makes the kernel probe exactly this target,
 * then compares the serial, so that no other disk can be taken for it.
 */
export interface Disk {
  serial: string;
  /** SCSI target on host 0, channel 0, LUN 0. */
  target: number;
  readOnly: boolean;
}
/** What Disk.encode takes. */
export interface IDisk {
  serial?: string | undefined;
  target?: number | undefined;
  readOnly?: boolean | undefined;
}
export const Disk: MessageType<IDisk, Disk> = /* @__PURE__ */ message('runv.agent.v1.Disk', [
  [1, 'serial', 'string'],
  [2, 'target', 'uint32'],
  [3, 'readOnly', 'bool'],
]);

export interface Rootfs {
  /** Holds the file system that is the root, or its read-only lower layer. */
  disk: Disk | undefined;
  /** e.g. "erofs", "ext4"; never guessed. */
  fsType: string;
  /** Mount options of `disk`, as in fstab. */
  options: string[];
  /** When set: an ext4 disk with directories `upper` and `work`; the root is an overlay over `disk`. */
  scratch: Disk | undefined;
  /** The scratch disk outlives the container: what a process syncs must reach it. */
  scratchKept: boolean;
}
/** What Rootfs.encode takes. */
export interface IRootfs {
  disk?: IDisk | undefined;
  fsType?: string | undefined;
  options?: readonly string[] | undefined;
  scratch?: IDisk | undefined;
  scratchKept?: boolean | undefined;
}
export const Rootfs: MessageType<IRootfs, Rootfs> = /* @__PURE__ */ message('runv.agent.v1.Rootfs', [
  [1, 'disk', Disk],
  [2, 'fsType', 'string'],
  [3, 'options', 'string', 'repeated'],
  [4, 'scratch', Disk],
  [5, 'scratchKept', 'bool'],
]);

/** A group that may read and write all of a volume, as kubelet's fsGroup. */
export interface FsGroup {
  gid: number;
  /** Leave the files alone when the root directory has the group and its permissions. */
  onRootMismatch: boolean;
}
/** What FsGroup.encode takes. */
export interface IFsGroup {
  gid?: number | undefined;
  onRootMismatch?: boolean | undefined;
}
export const FsGroup: MessageType<IFsGroup, FsGroup> = /* @__PURE__ */ message('runv.agent.v1.FsGroup', [
  [1, 'gid', 'uint32'],
  [2, 'onRootMismatch', 'bool'],
]);

export interface DiskVolume {
  disk: Disk | undefined;
  fsType: string;
  /** Mount options of the file system itself, as in fstab. */
  options: string[];
  /** Given to all files when it is mounted, unless the disk is read-only. */
  fsGroup: FsGroup | undefined;
}
/** What DiskVolume.encode takes. */
export interface IDiskVolume {
  disk?: IDisk | undefined;
  fsType?: string | undefined;
  options?: readonly string[] | undefined;
  fsGroup?: IFsGroup | undefined;
}
export const DiskVolume: MessageType<IDiskVolume, DiskVolume> = /* @__PURE__ */ message('runv.agent.v1.DiskVolume', [
  [1, 'disk', Disk],
  [2, 'fsType', 'string'],
  [3, 'options', 'string', 'repeated'],
  [4, 'fsGroup', FsGroup],
]);

/** A tmpfs of the pod: containers that give the same name see the same files. Lives as long as the guest. */
export interface MemoryVolume {
  /** Letters, digits, dots and dashes. */
  name: string;
  /** 0: the kernel's default, half of the memory. */
  sizeBytes: bigint;
  /** Of its root directory when it is made: permission bits, owner and group. */
  mode: number;
  uid: number;
  gid: number;
}
/** What MemoryVolume.encode takes. */
export interface IMemoryVolume {
  name?: string | undefined;
  sizeBytes?: number | bigint | undefined;
  mode?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
}
export const MemoryVolume: MessageType<IMemoryVolume, MemoryVolume> = /* @__PURE__ */ message('runv.agent.v1.MemoryVolume', [
  [1, 'name', 'string'],
  [2, 'sizeBytes', 'uint64'],
  [3, 'mode', 'uint32'],
  [4, 'uid', 'uint32'],
  [5, 'gid', 'uint32'],
]);

/**
 * A directory as kubelet writes it for ConfigMaps, Secrets and the like, as SyncCopy brought it. Containers that
 * give the same name see the same directory. Lives as long as the guest.
 */
export interface CopyVolume {
  name: string;
}
/** What CopyVolume.encode takes. */
export interface ICopyVolume {
  name?: string | undefined;
}
export const CopyVolume: MessageType<ICopyVolume, CopyVolume> = /* @__PURE__ */ message('runv.agent.v1.CopyVolume', [
  [1, 'name', 'string'],
]);

/** Replaces the source of one entry of spec.mounts. */
export interface Volume {
  /** Index into spec.mounts. The entry is a bind mount when runc sees it. */
  mountIndex: number;
  /** A file system on a disk, mounted by the agent. */
  disk: DiskVolume | undefined;
  /** A file or directory below the 9p export's root: relative, no "..". */
  sharePath: string | undefined;
  /** Memory of the guest. */
  memory: MemoryVolume | undefined;
  /** Files of the host's, kept as a copy. NotFound without it. */
  copy: CopyVolume | undefined;
  /** Below the source: relative, no ".."; made as a directory where it is missing, except in a copy. */
  subPath: string;
}
/** What Volume.encode takes. */
export interface IVolume {
  mountIndex?: number | undefined;
  disk?: IDiskVolume | undefined;
  sharePath?: string | undefined;
  memory?: IMemoryVolume | undefined;
  copy?: ICopyVolume | undefined;
  subPath?: string | undefined;
}
export const Volume: MessageType<IVolume, Volume> = /* @__PURE__ */ message('runv.agent.v1.Volume', [
  [1, 'mountIndex', 'uint32'],
  [2, 'disk', DiskVolume, ['sharePath', 'memory', 'copy']],
  [3, 'sharePath', 'string', ['disk', 'memory', 'copy']],
  [4, 'memory', MemoryVolume, ['disk', 'sharePath', 'copy']],
  [5, 'copy', CopyVolume, ['disk', 'sharePath', 'memory']],
  [6, 'subPath', 'string'],
]);

export interface CopiedFile {
  /** Below the version's directory: relative, no ".."; empty: that directory. */
  path: string;
  /** st_mode: a directory, a regular file or a symbolic link. */
  mode: number;
  uid: number;
  gid: number;
  /** A file's content, or where a link leads. */
  data: Uint8Array;
}
/** What CopiedFile.encode takes. */
export interface ICopiedFile {
  path?: string | undefined;
  mode?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
  data?: Uint8Array | undefined;
}
export const CopiedFile: MessageType<ICopiedFile, CopiedFile> = /* @__PURE__ */ message('runv.agent.v1.CopiedFile', [
  [1, 'path', 'string'],
  [2, 'mode', 'uint32'],
  [3, 'uid', 'uint32'],
  [4, 'gid', 'uint32'],
  [5, 'data', 'bytes'],
]);

/**
 * Such a directory: `..data` is a symbolic link to the directory that holds the present files, and what is visible
 * are links through it. The copy is changed by renaming `..data`, as the original is, so that watchers (inotify)
 * see it.
 */
export interface SyncCopyRequest {
  /** Letters, digits, dots and dashes. */
  name: string;
  /** What `..data` leads to: a name in the directory. */
  version: string;
  /** The directory itself. */
  root: CopiedFile | undefined;
  /** What is in the version's directory, each directory before what it holds. */
  files: CopiedFile[];
  /** The visible names, each with where it leads. */
  links: Record<string, string>;
}
/** What SyncCopyRequest.encode takes. */
export interface ISyncCopyRequest {
  name?: string | undefined;
  version?: string | undefined;
  root?: ICopiedFile | undefined;
  files?: readonly ICopiedFile[] | undefined;
  links?: Readonly<Record<string, string>> | undefined;
}
export const SyncCopyRequest: MessageType<ISyncCopyRequest, SyncCopyRequest> = /* @__PURE__ */ message('runv.agent.v1.SyncCopyRequest', [
  [1, 'name', 'string'],
  [2, 'version', 'string'],
  [3, 'root', CopiedFile],
  [4, 'files', CopiedFile, 'repeated'],
  [5, 'links', 'string', 'map'],
]);

/**
 * Gives an entry of spec.linux.devices (and the device rules naming the same host numbers)
 * the numbers that the disk has in the guest.
 */
export interface BlockDevice {
  deviceIndex: number;
  disk: Disk | undefined;
}
/** What BlockDevice.encode takes. */
export interface IBlockDevice {
  deviceIndex?: number | undefined;
  disk?: IDisk | undefined;
}
export const BlockDevice: MessageType<IBlockDevice, BlockDevice> = /* @__PURE__ */ message('runv.agent.v1.BlockDevice', [
  [1, 'deviceIndex', 'uint32'],
  [2, 'disk', Disk],
]);

/** Stream ids of connections that the shim has opened to port 1025. 0: no such stream. */
export interface Stdio {
  stdin: number;
  stdout: number;
  /** Always 0 with a terminal. */
  stderr: number;
  terminal: boolean;
}
/** What Stdio.encode takes. */
export interface IStdio {
  stdin?: number | undefined;
  stdout?: number | undefined;
  stderr?: number | undefined;
  terminal?: boolean | undefined;
}
export const Stdio: MessageType<IStdio, Stdio> = /* @__PURE__ */ message('runv.agent.v1.Stdio', [
  [1, 'stdin', 'uint32'],
  [2, 'stdout', 'uint32'],
  [3, 'stderr', 'uint32'],
  [4, 'terminal', 'bool'],
]);

export interface CreateContainerRequest {
  containerId: string;
  /**
   * OCI runtime specification, JSON. root.path is set by the agent. A namespace with a path is the
   * pod's: of network, ipc and uts the guest's own, of pids one that the agent makes for the pod.
   */
  spec: Uint8Array;
  rootfs: Rootfs | undefined;
  volumes: Volume[];
  blockDevices: BlockDevice[];
  stdio: Stdio | undefined;
  /** Whose pid namespace a pid entry with a path means; empty: the pod's. */
  pidNamespaceOf: string;
}
/** What CreateContainerRequest.encode takes. */
export interface ICreateContainerRequest {
  containerId?: string | undefined;
  spec?: Uint8Array | undefined;
  rootfs?: IRootfs | undefined;
  volumes?: readonly IVolume[] | undefined;
  blockDevices?: readonly IBlockDevice[] | undefined;
  stdio?: IStdio | undefined;
  pidNamespaceOf?: string | undefined;
}
export const CreateContainerRequest: MessageType<ICreateContainerRequest, CreateContainerRequest> = /* @__PURE__ */ message('runv.agent.v1.CreateContainerRequest', [
  [1, 'containerId', 'string'],
  [2, 'spec', 'bytes'],
  [3, 'rootfs', Rootfs],
  [4, 'volumes', Volume, 'repeated'],
  [5, 'blockDevices', BlockDevice, 'repeated'],
  [6, 'stdio', Stdio],
  [7, 'pidNamespaceOf', 'string'],
]);

export interface CreateContainerResponse {
  /** Pid of the container's first process in the guest's root namespace. */
  pid: number;
}
/** What CreateContainerResponse.encode takes. */
export interface ICreateContainerResponse {
  pid?: number | undefined;
}
export const CreateContainerResponse: MessageType<ICreateContainerResponse, CreateContainerResponse> = /* @__PURE__ */ message('runv.agent.v1.CreateContainerResponse', [
  [1, 'pid', 'uint32'],
]);

export interface StartContainerRequest {
  containerId: string;
}
/** What StartContainerRequest.encode takes. */
export interface IStartContainerRequest {
  containerId?: string | undefined;
}
export const StartContainerRequest: MessageType<IStartContainerRequest, StartContainerRequest> = /* @__PURE__ */ message('runv.agent.v1.StartContainerRequest', [
  [1, 'containerId', 'string'],
]);

export interface StartExecRequest {
  containerId: string;
  execId: string;
  /** OCI runtime specification's `process` object, JSON. */
  process: Uint8Array;
  stdio: Stdio | undefined;
}
/** What StartExecRequest.encode takes. */
export interface IStartExecRequest {
  containerId?: string | undefined;
  execId?: string | undefined;
  process?: Uint8Array | undefined;
  stdio?: IStdio | undefined;
}
export const StartExecRequest: MessageType<IStartExecRequest, StartExecRequest> = /* @__PURE__ */ message('runv.agent.v1.StartExecRequest', [
  [1, 'containerId', 'string'],
  [2, 'execId', 'string'],
  [3, 'process', 'bytes'],
  [4, 'stdio', Stdio],
]);

export interface StartExecResponse {
  pid: number;
}
/** What StartExecResponse.encode takes. */
export interface IStartExecResponse {
  pid?: number | undefined;
}
export const StartExecResponse: MessageType<IStartExecResponse, StartExecResponse> = /* @__PURE__ */ message('runv.agent.v1.StartExecResponse', [
  [1, 'pid', 'uint32'],
]);

export interface ProcessRequest {
  containerId: string;
  /** Empty: the container's first process. */
  execId: string;
}
/** What ProcessRequest.encode takes. */
export interface IProcessRequest {
  containerId?: string | undefined;
  execId?: string | undefined;
}
export const ProcessRequest: MessageType<IProcessRequest, ProcessRequest> = /* @__PURE__ */ message('runv.agent.v1.ProcessRequest', [
  [1, 'containerId', 'string'],
  [2, 'execId', 'string'],
]);

export interface ContainerRequest {
  containerId: string;
}
/** What ContainerRequest.encode takes. */
export interface IContainerRequest {
  containerId?: string | undefined;
}
export const ContainerRequest: MessageType<IContainerRequest, ContainerRequest> = /* @__PURE__ */ message('runv.agent.v1.ContainerRequest', [
  [1, 'containerId', 'string'],
]);

export interface SignalRequest {
  containerId: string;
  execId: string;
  /** Linux signal number, 1 to 64. */
  signal: number;
  /** Every process of the container; exec_id is empty then. */
  all: boolean;
}
/** What SignalRequest.encode takes. */
export interface ISignalRequest {
  containerId?: string | undefined;
  execId?: string | undefined;
  signal?: number | undefined;
  all?: boolean | undefined;
}
export const SignalRequest: MessageType<ISignalRequest, SignalRequest> = /* @__PURE__ */ message('runv.agent.v1.SignalRequest', [
  [1, 'containerId', 'string'],
  [2, 'execId', 'string'],
  [3, 'signal', 'uint32'],
  [4, 'all', 'bool'],
]);

export interface UpdateRequest {
  containerId: string;
  /** OCI runtime specification's `linux.resources` object, JSON. */
  resources: Uint8Array;
}
/** What UpdateRequest.encode takes. */
export interface IUpdateRequest {
  containerId?: string | undefined;
  resources?: Uint8Array | undefined;
}
export const UpdateRequest: MessageType<IUpdateRequest, UpdateRequest> = /* @__PURE__ */ message('runv.agent.v1.UpdateRequest', [
  [1, 'containerId', 'string'],
  [2, 'resources', 'bytes'],
]);

export interface PidsResponseProcess {
  pid: number;
  /** Set for the first process of an exec. */
  execId: string;
}
/** What PidsResponseProcess.encode takes. */
export interface IPidsResponseProcess {
  pid?: number | undefined;
  execId?: string | undefined;
}
export const PidsResponseProcess: MessageType<IPidsResponseProcess, PidsResponseProcess> = /* @__PURE__ */ message('runv.agent.v1.PidsResponse.Process', [
  [1, 'pid', 'uint32'],
  [2, 'execId', 'string'],
]);

export interface PidsResponse {
  processes: PidsResponseProcess[];
}
/** What PidsResponse.encode takes. */
export interface IPidsResponse {
  processes?: readonly IPidsResponseProcess[] | undefined;
}
export const PidsResponse: MessageType<IPidsResponse, PidsResponse> = /* @__PURE__ */ message('runv.agent.v1.PidsResponse', [
  [1, 'processes', PidsResponseProcess, 'repeated'],
]);

export interface StatsResponse {
  metrics: cgroup.Metrics | undefined;
}
/** What StatsResponse.encode takes. */
export interface IStatsResponse {
  metrics?: cgroup.IMetrics | undefined;
}
export const StatsResponse: MessageType<IStatsResponse, StatsResponse> = /* @__PURE__ */ message('runv.agent.v1.StatsResponse', [
  [1, 'metrics', cgroup.Metrics],
]);

export interface ResizePtyRequest {
  containerId: string;
  execId: string;
  /** 0 to 65535 each. */
  width: number;
  height: number;
}
/** What ResizePtyRequest.encode takes. */
export interface IResizePtyRequest {
  containerId?: string | undefined;
  execId?: string | undefined;
  width?: number | undefined;
  height?: number | undefined;
}
export const ResizePtyRequest: MessageType<IResizePtyRequest, ResizePtyRequest> = /* @__PURE__ */ message('runv.agent.v1.ResizePtyRequest', [
  [1, 'containerId', 'string'],
  [2, 'execId', 'string'],
  [3, 'width', 'uint32'],
  [4, 'height', 'uint32'],
]);

/** Two streams, as for stdio: each direction ends by itself. */
export interface ForwardRequest {
  /** 1 to 65535. */
  port: number;
  toGuest: number;
  fromGuest: number;
}
/** What ForwardRequest.encode takes. */
export interface IForwardRequest {
  port?: number | undefined;
  toGuest?: number | undefined;
  fromGuest?: number | undefined;
}
export const ForwardRequest: MessageType<IForwardRequest, ForwardRequest> = /* @__PURE__ */ message('runv.agent.v1.ForwardRequest', [
  [1, 'port', 'uint32'],
  [2, 'toGuest', 'uint32'],
  [3, 'fromGuest', 'uint32'],
]);

/** Sent once per process, after the last byte of its stdout and stderr was handed to the streams. */
export interface Exit {
  containerId: string;
  execId: string;
  pid: number;
  /** As a shell reports it: the exit code, or 128 + signal. */
  status: number;
  exitedAt: google.Timestamp | undefined;
}
/** What Exit.encode takes. */
export interface IExit {
  containerId?: string | undefined;
  execId?: string | undefined;
  pid?: number | undefined;
  status?: number | undefined;
  exitedAt?: google.ITimestamp | undefined;
}
export const Exit: MessageType<IExit, Exit> = /* @__PURE__ */ message('runv.agent.v1.Exit', [
  [1, 'containerId', 'string'],
  [2, 'execId', 'string'],
  [3, 'pid', 'uint32'],
  [4, 'status', 'uint32'],
  [5, 'exitedAt', google.Timestamp],
]);

/** A process of the container was killed for lack of memory. */
export interface Oom {
  containerId: string;
}
/** What Oom.encode takes. */
export interface IOom {
  containerId?: string | undefined;
}
export const Oom: MessageType<IOom, Oom> = /* @__PURE__ */ message('runv.agent.v1.Oom', [
  [1, 'containerId', 'string'],
]);

export interface Event {
  exit: Exit | undefined;
  oom: Oom | undefined;
}
/** What Event.encode takes. */
export interface IEvent {
  exit?: IExit | undefined;
  oom?: IOom | undefined;
}
export const Event: MessageType<IEvent, Event> = /* @__PURE__ */ message('runv.agent.v1.Event', [
  [1, 'exit', Exit, ['oom']],
  [2, 'oom', Oom, ['exit']],
]);
