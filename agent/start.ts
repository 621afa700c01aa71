/**
 * What the guest's Node runs: the agent, from what V8 made of it when the image was built. Else V8
 * compiles each function at its first call, which takes the tenth of a second under emulation.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { bundleScript } from './bundle-script.ts';

const agent = '/usr/lib/runv/agent.cjs';

const script = bundleScript(
  agent,
  readFileSync(agent, 'latin1'),
  readFileSync('/usr/lib/runv/agent.cache'),
);
const run = script.runInThisContext() as (...variables: unknown[]) => void;
const exports = {};
run(exports, createRequire(agent), { exports }, agent, dirname(agent));
