import Module from 'node:module';
import { Script } from 'node:vm';

/**
 * A bundle as `require` compiles it: running it gives a function of CommonJS's five variables.
 * @param source of ASCII alone
 * @param cachedData what V8 made of the same source before
 */
export function bundleScript(filename: string, source: string, cachedData?: Buffer): Script {
  const code = Module.wrap(source);
  return new Script(code, cachedData === undefined ? { filename } : { filename, cachedData });
}
