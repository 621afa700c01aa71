/** The services spoken here, as values for `Server.add` and `Client.bind`. */
export { Agent, EventsTtrpc, SandboxV1, TaskV2, TaskV3 } from './gen/services.ts';
