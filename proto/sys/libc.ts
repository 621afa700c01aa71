/** The C library, called through koffi. */
import koffi, { type KoffiFunc, type LibraryHandle } from 'koffi';

let libc: LibraryHandle | undefined;

/**
 * Declares a C function, which is looked up at its first call. A Buffer given for a pointer is
 * passed as its own memory. Variadic functions are declared with the arguments in use: the calling
 * conventions of x86-64 and arm64 Linux pass integers and pointers the same way for both.
 */
export function native<F extends (...args: never[]) => unknown>(definition: string): F {
  let call: ((...args: unknown[]) => unknown) | undefined;
  const lazy = (...args: unknown[]): unknown => {
    call ??= (libc ??= koffi.load('libc.so.6')).func(definition);
    return call(...args);
  };
  return lazy as unknown as F;
}

type Blocking<R> = KoffiFunc<(...args: unknown[]) => R>;

/** As `native`, for calls that block: they run in libuv's thread pool, where errno is lost. */
export function nativeAsync<R>(definition: string): (...args: unknown[]) => Promise<R> {
  let call: Blocking<R> | undefined;
  return (...args) => {
    const bound = (call ??= (libc ??= koffi.load('libc.so.6')).func(definition) as Blocking<R>);
    return new Promise((resolve, reject) =>
      bound.async(...args, (e: unknown, result: R) => {
        if (e instanceof Error) reject(e);
        else resolve(result);
      }),
    );
  };
}

/** Bytes, or no bytes, for a C pointer. */
export type Pointer = Uint8Array | null;

/** Errno of this thread's last call; valid until the next one. */
export const lastErrno = (): number => koffi.errno();
