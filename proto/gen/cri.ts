// Written by proto/generate.sh from the .proto files: do not edit.
import { message, type MessageType } from '../message.ts';

export const NamespaceMode = {
  POD: 0,
  CONTAINER: 1,
  NODE: 2,
  TARGET: 3,
} as const;
export type NamespaceMode = (typeof NamespaceMode)[keyof typeof NamespaceMode];

export interface DNSConfig {
  servers: string[];
  searches: string[];
  options: string[];
}
/** What DNSConfig.encode takes. */
export interface IDNSConfig {
  servers?: readonly string[] | undefined;
  searches?: readonly string[] | undefined;
  options?: readonly string[] | undefined;
}
export const DNSConfig: MessageType<IDNSConfig, DNSConfig> = /* @__PURE__ */ message('runtime.v1.DNSConfig', [
  [1, 'servers', 'string', 'repeated'],
  [2, 'searches', 'string', 'repeated'],
  [3, 'options', 'string', 'repeated'],
]);

export interface NamespaceOption {
  network: number;
}
/** What NamespaceOption.encode takes. */
export interface INamespaceOption {
  network?: NamespaceMode | undefined;
}
export const NamespaceOption: MessageType<INamespaceOption, NamespaceOption> = /* @__PURE__ */ message('runtime.v1.NamespaceOption', [
  [1, 'network', 'int32'],
]);

export interface LinuxSandboxSecurityContext {
  namespaceOptions: NamespaceOption | undefined;
}
/** What LinuxSandboxSecurityContext.encode takes. */
export interface ILinuxSandboxSecurityContext {
  namespaceOptions?: INamespaceOption | undefined;
}
export const LinuxSandboxSecurityContext: MessageType<ILinuxSandboxSecurityContext, LinuxSandboxSecurityContext> = /* @__PURE__ */ message('runtime.v1.LinuxSandboxSecurityContext', [
  [1, 'namespaceOptions', NamespaceOption],
]);

export interface LinuxContainerResources {
  /** Microseconds. */
  cpuPeriod: bigint;
  cpuQuota: bigint;
  cpuShares: bigint;
  memoryLimitInBytes: bigint;
}
/** What LinuxContainerResources.encode takes. */
export interface ILinuxContainerResources {
  cpuPeriod?: number | bigint | undefined;
  cpuQuota?: number | bigint | undefined;
  cpuShares?: number | bigint | undefined;
  memoryLimitInBytes?: number | bigint | undefined;
}
export const LinuxContainerResources: MessageType<ILinuxContainerResources, LinuxContainerResources> = /* @__PURE__ */ message('runtime.v1.LinuxContainerResources', [
  [1, 'cpuPeriod', 'int64'],
  [2, 'cpuQuota', 'int64'],
  [3, 'cpuShares', 'int64'],
  [4, 'memoryLimitInBytes', 'int64'],
]);

export interface LinuxPodSandboxConfig {
  /** Of kubelet's making; the sandbox's own lies below it. */
  cgroupParent: string;
  securityContext: LinuxSandboxSecurityContext | undefined;
  sysctls: Record<string, string>;
  /** The sum over the pod's containers. */
  resources: LinuxContainerResources | undefined;
}
/** What LinuxPodSandboxConfig.encode takes. */
export interface ILinuxPodSandboxConfig {
  cgroupParent?: string | undefined;
  securityContext?: ILinuxSandboxSecurityContext | undefined;
  sysctls?: Readonly<Record<string, string>> | undefined;
  resources?: ILinuxContainerResources | undefined;
}
export const LinuxPodSandboxConfig: MessageType<ILinuxPodSandboxConfig, LinuxPodSandboxConfig> = /* @__PURE__ */ message('runtime.v1.LinuxPodSandboxConfig', [
  [1, 'cgroupParent', 'string'],
  [2, 'securityContext', LinuxSandboxSecurityContext],
  [3, 'sysctls', 'string', 'map'],
  [5, 'resources', LinuxContainerResources],
]);

export interface PodSandboxConfig {
  hostname: string;
  dnsConfig: DNSConfig | undefined;
  annotations: Record<string, string>;
  linux: LinuxPodSandboxConfig | undefined;
}
/** What PodSandboxConfig.encode takes. */
export interface IPodSandboxConfig {
  hostname?: string | undefined;
  dnsConfig?: IDNSConfig | undefined;
  annotations?: Readonly<Record<string, string>> | undefined;
  linux?: ILinuxPodSandboxConfig | undefined;
}
export const PodSandboxConfig: MessageType<IPodSandboxConfig, PodSandboxConfig> = /* @__PURE__ */ message('runtime.v1.PodSandboxConfig', [
  [2, 'hostname', 'string'],
  [4, 'dnsConfig', DNSConfig],
  [7, 'annotations', 'string', 'map'],
  [8, 'linux', LinuxPodSandboxConfig],
]);
