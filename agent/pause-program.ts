/**
 * The first process of a shared pid namespace, as an x86-64 ELF file of a few bytes: the guest's
 * image has no program that waits for ever, and another Node would take 40 MB.
 *
 *     sigaction(SIGCHLD, SIG_IGN)   the kernel then reaps what is orphaned to it (sigaction(2))
 *     for (;;) pause()
 *
 * As first process it gets no signal that it has no handler for: only the namespace's end ends it.
 */
export function pauseProgram(): Uint8Array {
  const headers = 64 + 56;
  const base = 0x400000;
  const code = Buffer.from(
    [
      'b80d000000', // mov eax, 13 (rt_sigaction)
      'bf11000000', // mov edi, 17 (SIGCHLD)
      '488d3517000000', // lea rsi, [rip+23]: the structure below
      '31d2', // xor edx, edx (the old one is not asked for)
      '41ba08000000', // mov r10d, 8 (bytes of a signal set)
      '0f05', // syscall
      'b822000000', // loop: mov eax, 34 (pause)
      '0f05', // syscall
      'ebf7', // jmp loop
      '00000000', // to a multiple of 8
      // struct kernel_sigaction: handler SIG_IGN (1), flags 0, restorer 0, mask 0
      '0100000000000000',
      '0000000000000000',
      '0000000000000000',
      '0000000000000000',
    ].join(''),
    'hex',
  );
  const file = Buffer.alloc(headers + code.length);
  // elf(5): Elf64_Ehdr
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // magic, 64 bits, little-endian, version
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(62, 18); // EM_X86_64
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(base + headers), 24); // entry
  file.writeBigUInt64LE(64n, 32); // program headers
  file.writeUInt16LE(64, 52); // size of this header
  file.writeUInt16LE(56, 54); // size of a program header
  file.writeUInt16LE(1, 56);
  // Elf64_Phdr: one segment, the whole file
  file.writeUInt32LE(1, 64); // PT_LOAD
  file.writeUInt32LE(5, 68); // readable, executable
  file.writeBigUInt64LE(BigInt(base), 80); // virtual address
  file.writeBigUInt64LE(BigInt(base), 88);
  file.writeBigUInt64LE(BigInt(file.length), 96);
  file.writeBigUInt64LE(BigInt(file.length), 104);
  file.writeBigUInt64LE(0x1000n, 112); // alignment
  file.set(code, headers);
  return file;
}
