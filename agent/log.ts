import { writeSync } from 'node:fs';

export type Fields = Readonly<Record<string, unknown>>;

/** A constant message, data in fields; never an OCI specification or an environment variable. */
export interface Log {
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
  /** A log that puts `fields` into each line. */
  child(fields: Fields): Log;
}

/**
 * One JSON line per event. Not pino: its load time is a tenth of the agent's whole start in an
 * emulated guest, and these lines are few.
 * @param write gets whole lines; must not throw
 */
export function jsonLog(write: (line: string) => void, bound: Fields = {}): Log {
  const at = (level: string) => (fields: Fields, message: string) =>
    write(
      `${JSON.stringify({ level, time: new Date(), ...bound, ...fields, msg: message }, errors)}\n`,
    );
  return {
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => jsonLog(write, { ...bound, ...fields }),
  };
}

/** Errors as their message; with the stack where it says more than the code does. */
function errors(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return typeof value === 'bigint' ? String(value) : value;
  const { code } = value as { code?: unknown };
  return code === undefined ? value.stack : { code, message: value.message };
}

/** Writes lines to the guest's console. A console that takes none loses them. */
export function consoleLine(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // nobody is left to be told
  }
}
