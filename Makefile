# One line per verb. `make` alone lists them.

PREFIX ?= /usr/local
PACKAGE ?= hello
GUESTS := $(CURDIR)/tasks/target/wasm32-unknown-unknown/release
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

# Where the runtime, and every test, looks for tasks.
export TASK_RUNTIME_TASKS ?= $(GUESTS)

.PHONY: help setup machine demo-machine server images target build tasks guests demo test bench hardened conformance isolation lint doc clean install

help: ## list the verbs
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
setup: machine target ## ready this machine: Debian packages, subordinate ids, the guests' target
machine:
	@.ci/set-up-machine
demo-machine:
	@.ci/set-up-machine build demo
server: ## install a Debusine server, beside which the worker is tested; where that cannot be, those tests are skipped
	@if [ "$$(id -u)" != 0 ]; then echo "server: not installed: that takes root; the tests with a real server are skipped"; \
	else .ci/set-up-machine server || echo "server: not installed (see above); the tests with a real server are skipped"; fi
images: ## install what makes bootable images; where that cannot be, the run of simplesystemimagebuild is skipped
	@if [ "$$(id -u)" != 0 ]; then echo "images: not installed: that takes root; the run of simplesystemimagebuild is skipped"; \
	else .ci/set-up-machine image || echo "images: not installed (see above); the run of simplesystemimagebuild is skipped"; fi
target:
	@tasks/set-up-target
build: ## the runtime, optimised: target/release/task-runtime
	cargo build --release --package task-runtime
tasks: target ## the built-in tasks, as components: tasks/target/wasm32-unknown-unknown/release/*.wasm
	cd tasks && cargo build --release --target-dir target
guests: target ## components that only tests use: tests/guests/target/wasm32-unknown-unknown/release/*.wasm
	cd tests/guests && cargo build --release --target-dir target
demo: demo-machine build tasks ## build a Debian package from nothing: make demo PACKAGE=hello
	tests/demo $(PACKAGE)
test: setup server images tasks guests ## every test of host and guests; the last line counts them
	@.ci/run-tests
bench: setup tasks ## measure this machine, and the reference beside it where that is installed (.ci/set-up-machine reference)
	@.ci/set-up-machine bench
	cargo build --release --workspace
	cargo build --release --package task-runtime-tests --bin in-process --no-default-features --target-dir target/without-compiler
	tests/bench
hardened: tasks ## build a worker without the compiler of components, and test it: target/without-compiler/debug/task-runtime
	cargo build --package task-runtime --no-default-features --target-dir target/without-compiler
	TASK_RUNTIME_WITHOUT_COMPILER=$(CURDIR)/target/without-compiler/debug/task-runtime cargo test --package task-runtime-tests --test without_compiler
conformance: tasks ## the recorded behaviour of the reference, and whether ours agrees: make conformance VECTORS=DIR
	@cargo run --quiet --package task-runtime-tests --bin conformance -- $(VECTORS)
isolation: ## what a command or a sandbox must not leave behind or reach, promise by promise, as user and as root
	@.ci/isolation
lint: ## formatting and warnings, in both workspaces and for both targets of the guests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --package task-runtime-tests --test contract
	cd tasks && cargo fmt --check
	cd tasks && cargo clippy --workspace --target-dir target -- -D warnings
	cd tests/guests && cargo fmt --check && cargo clippy --target-dir target -- -D warnings
	cd tasks && cargo clippy --workspace --all-targets --target-dir target --target $(HOST) -- -D warnings
doc: ## the interfaces, as pages: target/doc
	cargo doc --workspace --no-deps
clean: ## remove what builds left
	cargo clean
	cd tasks && cargo clean --target-dir target
install: build tasks ## into PREFIX (/usr/local), below DESTDIR
	install -D -t $(DESTDIR)$(PREFIX)/bin target/release/task-runtime
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/task-runtime/tasks $(GUESTS)/*.wasm
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/bin/|$(PREFIX)/bin/|' systemd/task-runtime-worker.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/task-runtime-worker.service
