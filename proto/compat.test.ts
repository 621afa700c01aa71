import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { compare, publishedDirectory, publishedPackages } from './compat.ts';

// RUNV_PUBLISHED_PROTOS: unpacked packages elsewhere, separated by colons
const directories = process.env['RUNV_PUBLISHED_PROTOS']?.split(':') ?? [publishedDirectory];
const missing = directories.every(existsSync)
  ? false
  : `skipped: ${publishedPackages.join(' and ')}, or RUNV_PUBLISHED_PROTOS`;

suite('definitions', () => {
  test('equal the published ones', { skip: missing }, () => {
    const { compared, differences } = compare(directories);
    assert.deepEqual(differences, []);
    for (const name of [
      'containerd.task.v2.Task',
      'containerd.task.v2.CreateTaskRequest',
      'containerd.events.TaskExit',
      'containerd.services.events.ttrpc.v1.Envelope',
      'containerd.runc.v1.Options',
      'io.containerd.cgroups.v2.Metrics',
    ])
      assert.ok(compared.includes(name), `${name} was not among the published files`);
  });

  const differing: readonly (readonly [string, string, string, readonly string[]])[] = [
    [
      'a number',
      'containerd.types',
      'message Mount { string type = 1; string source = 2; string target = 4; repeated string options = 3; }',
      [
        'containerd.types.Mount.target is 3 string, published 4 string',
        'containerd.types.Mount.options is 4 repeated string, published 3 repeated string',
      ],
    ],
    [
      'a type',
      'containerd.task.v2',
      'message CreateTaskResponse { uint64 pid = 1; }',
      ['containerd.task.v2.CreateTaskResponse.pid is 1 uint32, published 1 uint64'],
    ],
    [
      'a label',
      'containerd.task.v2',
      'message PauseRequest { repeated string id = 1; }',
      ['containerd.task.v2.PauseRequest.id is 1 string, published 1 repeated string'],
    ],
    [
      'a missing and an extra field',
      'containerd.events',
      'message TaskOOM { string other = 2; }',
      [
        'containerd.events.TaskOOM.other (2 string) is missing',
        'containerd.events.TaskOOM.container_id (1 string) is not in the published file',
      ],
    ],
    [
      "a method's stream",
      'containerd.services.events.ttrpc.v1',
      'message ForwardRequest { Envelope envelope = 1; }\n' +
        'service Events { rpc Forward(stream ForwardRequest) returns (google.protobuf.Empty); }',
      [
        'containerd.services.events.ttrpc.v1.Events.Forward is ' +
          'containerd.services.events.ttrpc.v1.ForwardRequest → google.protobuf.Empty, published ' +
          'stream containerd.services.events.ttrpc.v1.ForwardRequest → google.protobuf.Empty',
      ],
    ],
    ['a message', 'containerd.task.v3', 'message New {}', ['containerd.task.v2.New is missing']],
  ];
  for (const [what, packageName, body, expected] of differing) {
    test(`are seen to differ in ${what}`, (t) => {
      const directory = mkdtempSync(join(tmpdir(), 'runv-compat-'));
      t.after(() => rmSync(directory, { recursive: true }));
      const source = `syntax = "proto3";\npackage ${packageName};\nimport weak "gogoproto/gogo.proto";\n${body}\n`;
      writeFileSync(join(directory, 'published.proto'), source);
      const lines = expected.map((line) => `${line} (published.proto)`);
      assert.deepEqual(compare([directory]).differences, lines);
    });
  }
});
