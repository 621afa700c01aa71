import { chownSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { deviceNumbers, mknod, MNT_DETACH, mount, MS, umount } from '../../proto/sys.ts';

/** For the 9p export: to act for the guest's users on the files that were shared, and no others. */
const exportCapabilities = '-all,+chown,+dac_override,+fowner,+fsetid';

const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

/**
 * The file system that a VMM sees: the host's programs and libraries read-only, and what was put
 * there for it. Lives in the shim's own mount namespace, so it ends with the shim and the VMM.
 */
export class Jail {
  readonly root: string;
  readonly uid: number;

  /** @param root an existing directory, in a mount namespace of the caller's own */
  constructor(root: string, uid: number) {
    this.root = root;
    this.uid = uid;
    mount('jail', root, 'tmpfs', MS.NOSUID | MS.NOEXEC, 'mode=755,size=1m');
    mkdirSync(join(root, 'usr'));
    mount('/usr', join(root, 'usr'), null, MS.BIND);
    mount('/usr', join(root, 'usr'), null, MS.BIND | MS.REMOUNT | MS.RDONLY | MS.NODEV);
    for (const dir of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${dir}`, join(root, dir));
    mkdirSync(join(root, 'etc'));
    this.exposeFile('/etc/ld.so.cache', 'etc/ld.so.cache', true);
    for (const dir of ['dev', 'disks', 'share', 'boot', 'proc']) mkdirSync(join(root, dir));
    // QEMU's 9p server changes modes through /proc/self/fd. It sees its own processes, no others.
    const ownOnly = 'hidepid=invisible,subset=pid';
    mount('proc', join(root, 'proc'), 'proc', MS.NOSUID | MS.NODEV | MS.NOEXEC, ownOnly);
    this.exposeDevice('/dev/urandom', 'dev/urandom');
    // QEMU tries there what kind of locks it can have on disks.
    this.exposeDevice('/dev/null', 'dev/null');
  }

  /**
   * Words before a command: this root, no privilege but what `privilege` says, and it dies with the
   * shim. `none` has no network either; `export` stays in the pod's, where a sandbox's pid belongs.
   */
  command(privilege: 'none' | 'export'): string[] {
    const capabilities = privilege === 'export' ? exportCapabilities : '-all';
    return [
      ...[
        'unshare',
        ...(privilege === 'none' ? ['--net'] : []),
        '--root',
        this.root,
        '--wd',
        '/',
        'setpriv',
      ],
      ...[`--reuid=${this.uid}`, `--regid=${this.uid}`, '--clear-groups', '--no-new-privs'],
      ...['inh-caps', 'ambient-caps', 'bounding-set'].map((set) => `--${set}=${capabilities}`),
      ...['--pdeathsig=KILL', '--'],
    ];
  }

  /**
   * The path of a program as a jailed command has it: programs below /usr are there, any other is
   * put there.
   */
  program(hostPath: string): string {
    return hostPath.startsWith('/usr/')
      ? hostPath
      : this.exposeFile(hostPath, `boot/${basename(hostPath)}`, true);
  }

  /** Makes a host directory appear at `name`. */
  exposeDirectory(hostPath: string, name: string): string {
    const path = join(this.root, name);
    mkdirSync(path);
    mount(hostPath, path, null, MS.BIND);
    return `/${name}`;
  }

  /**
   * Makes one host file appear at `name`, whatever mounts lie below its directory.
   * @returns its path as the VMM sees it
   */
  exposeFile(hostPath: string, name: string, readOnly: boolean): string {
    const path = join(this.root, name);
    writeFileSync(path, '', { flag: 'wx' });
    mount(hostPath, path, null, MS.BIND);
    if (readOnly) mount(hostPath, path, null, MS.BIND | MS.REMOUNT | MS.RDONLY);
    return `/${name}`;
  }

  /**
   * Makes a device node for the VMM with the numbers of a host device; only the VMM may open it.
   * @returns its path as the VMM sees it
   */
  exposeDevice(hostPath: string, name: string): string {
    const { rdev, mode } = statSync(hostPath);
    const type = (mode & 0o170000) === S_IFBLK ? S_IFBLK : S_IFCHR;
    const path = join(this.root, name);
    const { major, minor } = deviceNumbers(rdev);
    mknod(path, type | 0o600, major, minor);
    chownSync(path, this.uid, this.uid);
    return `/${name}`;
  }

  /** Takes back what was exposed at `name`; an open file stays open. */
  withdraw(name: string): void {
    const path = join(this.root, name);
    if (statSync(path).isFile()) umount(path, MNT_DETACH);
    rmSync(path);
  }
}

/** Takes a jail's mounts away where its namespace lives on. */
export function removeJail(root: string): void {
  umount(root, MNT_DETACH);
}
