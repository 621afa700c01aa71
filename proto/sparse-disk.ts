/**
 * Mount options of an ext4 file system on a sparse file of the host's. discard: what is removed is
 * given back to the host; noinit_itable: the kernel would else write zeros over inode tables that
 * are zeros, 160 MiB on a disk of 10 GiB.
 */
export const sparseDiskOptions: readonly string[] = ['noatime', 'discard', 'noinit_itable'];
