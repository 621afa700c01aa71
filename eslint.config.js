import tseslint from 'typescript-eslint';

/** A folder's sources may not import from the folders named here: host and guest share `proto/` only. */
const forbid = (folder, others) => ({
  files: [`${folder}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: others.map((other) => ({
          group: [`**/${other}/**`],
          message: `${folder}/ must not import ${other}/: both sides share proto/ only`,
        })),
      },
    ],
  },
});

export default tseslint.config(
  { ignores: ['build/', 'dist/', 'proto/gen/', 'node_modules/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': [
        'error',
        // node:test's own functions return promises that the runner awaits
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      // an async function without await turns what it throws into a rejection, as callers expect
      '@typescript-eslint/require-await': 'off',
      eqeqeq: 'error',
    },
  },
  forbid('proto', ['shim', 'agent', 'test']),
  forbid('shim', ['agent', 'test']),
  forbid('agent', ['shim', 'test']),
);
