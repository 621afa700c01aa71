import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { RunvError } from '../proto/error.ts';
import { Code } from '../proto/error.ts';
import { loadConfig, parseConfig } from './config.ts';

const dir = mkdtempSync(join(tmpdir(), 'runv-config-'));
after(() => rmSync(dir, { recursive: true }));
const existing = join(dir, 'file');
writeFileSync(existing, '');
const paths = ['qemu', 'kernel', 'image'].map((key) => `${key} = "${existing}"`).join('\n');

const parse = (text: string) => parseConfig(`${paths}\n${text}`, 'c.toml', dir);

describe('configuration', () => {
  it('fills in defaults', () => {
    const config = parse('');
    assert.equal(config.runDir, '/run/runv');
    assert.equal(config.accelerator, 'auto');
    assert.equal(config.defaultMemoryMiB, 512);
  });

  it('takes what the file says', () => {
    const config = parse('accelerator = "tcg"\ndefault_vcpus = 2\ndebug = true');
    assert.deepEqual([config.accelerator, config.defaultVcpus, config.debug], ['tcg', 2, true]);
  });

  const bad: [name: string, text: string, says: RegExp][] = [
    [
      'an unknown key',
      'acelerator = "tcg"',
      /^c\.toml: unknown key "acelerator"; known keys: .*accelerator/,
    ],
    [
      'a wrong type',
      'default_vcpus = "2"',
      /^c\.toml: default_vcpus must be a whole number from 1 to 64, not "2"$/,
    ],
    ['a fraction', 'default_vcpus = 1.5', /default_vcpus must be a whole number/],
    ['a value out of range', 'default_memory_mib = 16', /default_memory_mib must be .* from 128 /],
    [
      'a word that is none of the choices',
      'accelerator = "xen"',
      /must be one of "auto", "kvm", "tcg"/,
    ],
    ['a relative path', 'run_dir = "run"', /run_dir must be an absolute path/],
    ['what is not TOML', 'debug =', /^c\.toml: line 4: /],
    ['sizes that exclude each other', 'max_memory_mib = 256', /default_memory_mib is greater/],
  ];
  for (const [name, text, says] of bad) {
    it(`refuses ${name} in one line`, () => {
      assert.throws(
        () => parse(text),
        (e: RunvError) => says.test(e.message) && !e.message.includes('\n'),
      );
    });
  }

  it('names a file that is missing', () => {
    assert.throws(
      () => parseConfig(`qemu = "${existing}"\nkernel = "/nowhere/vmlinux"`, 'c.toml', dir),
      /c\.toml: kernel: there is no file \/nowhere\/vmlinux/,
    );
  });

  it('says when RUNV_CONFIG names a file that is not there', () => {
    assert.throws(
      () => loadConfig({ RUNV_CONFIG: '/nowhere/c.toml' }, dir),
      (e: RunvError) => e.code === Code.NotFound && e.message.includes('/nowhere/c.toml'),
    );
  });
});
