/**
 * All message types, by package: `task.CreateTaskRequest` is the decoded message and its codec,
 * `task.ICreateTaskRequest` what encode takes.
 */
export * as agent from './gen/agent.ts';
export * as cgroup from './gen/cgroup.ts';
export * as cri from './gen/cri.ts';
export * as events from './gen/events.ts';
export * as forward from './gen/forward.ts';
export * as google from './gen/google.ts';
export * as rpc from './gen/rpc.ts';
export * as runc from './gen/runc.ts';
export * as runtimeoptions from './gen/runtimeoptions.ts';
export * as sandbox from './gen/sandbox.ts';
export * as task from './gen/task.ts';
export * as tasktypes from './gen/tasktypes.ts';
export * as types from './gen/types.ts';
