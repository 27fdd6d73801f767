# Ibid: what to do with the sources. `make` alone lists the targets.
#
# `make run` and `make install` build for speed (the release profile). `make test` and `make lint` build for
# short compile times (the dev profile). Fetched and built parts lie in target/share/ibid, where both programs look for them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# rustup's default place, for shells that have not read its profile yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

PREFIX ?= /usr/local
LISTEN ?= 127.0.0.1:8000
MODEL := all-MiniLM-L6-v2
SHARE := target/share/ibid
IBID := target/release/ibid
CARGO_BUILD := cargo build --release --locked --bin ibid
PLUGINS := text markdown html pdf docx recursive structure sentences semantic rules passthrough numeric author-page footnotes
# The plugins' own tests run natively. Their release profile is made for small components and slow to
# compile; without any optimisation their property tests are slow to run.
PLUGIN_TESTS := CARGO_PROFILE_DEV_DEBUG=line-tables-only CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_TARGET_DIR=target/plugins
# Clippy as the compiler of our own crates: one build both lints and makes what the tests run. `cargo clippy` alone would
# compile every dependency once more, for its own use. `make test` and `make lint` share these artifacts.
LINTED := RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings
# What the tests start. It differs from the release build only in its profile.
TEST_IBID := target/debug/ibid

.PHONY: help run setup test-setup gpu bench screenshots build tools test-tools parts test test-build test-plugins lint format-check tidy advisories soak format install uninstall clean

help: ## list the targets
	@echo "make run      fetch, build and serve on $(LISTEN); the first time takes a while, the next ones seconds"
	@echo "make setup    fetch and build all that serving needs, without serving"
	@echo "make build    compile the program alone"
	@echo "make test     run every test"
	@echo "make bench    measure the embedder beside its peers"
	@echo "make gpu      fetch what NVIDIA GPUs need"
	@echo "make lint     check formatting and lints"
	@echo "make tidy     check the rules of the repository"
	@echo "make soak     kill the server 200 times, and look for losses"
	@echo "make advisories  look for known vulnerabilities of dependencies"
	@echo "make install  install to PREFIX (default /usr/local)"

run: setup ## serve; LISTEN=127.0.0.1:9000 takes another port
	@exec $(IBID) serve --listen $(LISTEN)

setup: tools ## everything that serving needs
	@echo "== 1 of 2: fetching ONNX Runtime and the model while the server is compiled"
	@test -x $(IBID) || echo "   (the first time: 20 minutes on two cores, nearly all of it in dependencies)"
	@# Downloads wait for the network and the compiler for cores: side by side they cost one wait. A download
	@# that fails ends the compilation, so that its message is the last one.
	@scripts/fetch-assets --share $(SHARE) & fetch=$$!; \
	$(CARGO_BUILD) & build=$$!; \
	trap 'kill $$fetch $$build 2>/dev/null || true' EXIT; \
	wait $$fetch; wait $$build
	@echo "== 2 of 2: converting the model, building the plugins"
	@$(MAKE) parts

gpu: tools ## ONNX Runtime's build for NVIDIA GPUs, 300 MB; what follows from it is in docs/embedding.md
	@scripts/fetch-assets --share $(SHARE) --gpu

# The peers are other people's programs, in a virtual environment of their own.
bench: setup ## the embedder beside its peers, on the CPU; the first time fetches them, 3 GB
	@test -x target/bench/venv/bin/python || python3 -m venv target/bench/venv
	@target/bench/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement benches/embed/requirements.txt
	@cargo bench --locked --bench embed --no-run
	@target/bench/venv/bin/python benches/embed/run.py --program "$$(ls -t target/release/deps/embed-* | grep -v '\.d$$' | head -1)"

build: tools ## compile the program
	@$(CARGO_BUILD)

# Both do nothing where nothing changed.
parts:
	@$(IBID) model convert $(SHARE)/sources/$(MODEL) $(SHARE)/models/$(MODEL)
	@$(IBID) plugin build $(PLUGINS:%=plugins/%) --out $(SHARE)/plugins --target-dir target/wasm

# The browser test takes them on its way, so that they show what is.
screenshots: test-tools test-setup ## the pictures of the page in docs/images/
	@mkdir -p docs/images
	@IBID_SHOTS="$(CURDIR)/docs/images" $(LINTED) cargo test --locked --workspace --test server -- page::in_a_browser
	@rm -f docs/images/failure.png

# What must be on the machine.
tools:
	@scripts/require cc=gcc,libc6-dev python3=python3
	@if ! command -v cargo >/dev/null; then \
	  echo "Rust is missing. Install it by rustup, then run make again."; \
	  exit 1; \
	fi

# What the tests need beside: the languages in which plugins are written, and a registry to pull them from.
test-tools:
	@# Debian keeps PostgreSQL's programs out of the way.
	@PATH="$$PATH:$$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')" scripts/require initdb=postgresql
	@scripts/require openssl=openssl pip=python3-pip node=nodejs npm=npm docker-registry=docker-registry chromium=chromium

test: test-tools test-setup test-plugins ## every test: the plugins' own, the program's, and those over real sockets
	@echo "== testing the program"
	@$(LINTED) cargo test --locked --workspace --lib --bins --tests

# The same artifacts as the tests use, and what they need beside.
test-setup: tools test-build
	@$(MAKE) parts IBID=$(TEST_IBID)

test-build: tools
	@# Downloads wait for the network, and the largest dependency for one core: what needs neither is done meanwhile.
	@scripts/fetch-assets --share $(SHARE) & fetch=$$!; \
	{ $(PLUGIN_TESTS) $(LINTED) nice cargo test --no-run --locked --manifest-path plugins/Cargo.toml --workspace --quiet; } & plugins=$$!; \
	$(LINTED) cargo test --locked --workspace --lib --bins --tests --no-run & build=$$!; \
	trap 'kill $$fetch $$plugins $$build 2>/dev/null || true' EXIT; \
	wait $$fetch; wait $$plugins; wait $$build

test-plugins:
	@echo "== testing the plugins"
	@$(PLUGIN_TESTS) $(LINTED) cargo test --locked --manifest-path plugins/Cargo.toml --workspace

lint: format-check test-build ## formatting and lints, of the program and of the plugins
	@# `--workspace`, so that dependencies have the features that they have in the tests, and are not compiled again.
	@$(LINTED) cargo build --locked --workspace --bench embed --bench plugins --bench extract
	@$(PLUGIN_TESTS) $(LINTED) cargo test --no-run --locked --manifest-path plugins/Cargo.toml --workspace --all-targets
	@$(PLUGIN_TESTS) $(LINTED) cargo test --no-run --locked --manifest-path examples/plugins/subtitles/Cargo.toml --all-targets

tidy: ## rules of the repository: layers, length of files, words, module heads
	@cargo xtask tidy

# Wants the database of advisories from the network, so that it is no part of CI.
advisories: ## known vulnerabilities of dependencies
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: install it by cargo install cargo-deny"; exit 1; }
	@cargo deny --locked check advisories

# Longer runs of what the tests do in short.
soak: test-tools test-setup ## 200 kills of the server at random moments, with re-indexes and moves
	@IBID_FAULT_KILLS=200 $(LINTED) cargo test --locked --workspace --test server -- kills::

format-check:
	@cargo fmt --check --all
	@cargo fmt --check --all --manifest-path plugins/Cargo.toml
	@cargo fmt --check --manifest-path examples/plugins/subtitles/Cargo.toml

format: ## format all sources
	@cargo fmt --all
	@cargo fmt --all --manifest-path plugins/Cargo.toml
	@cargo fmt --manifest-path examples/plugins/subtitles/Cargo.toml

install: ## to PREFIX, below DESTDIR; what `make setup` built
	@test -x $(IBID) -a -d $(SHARE)/plugins -a -d $(SHARE)/models || { echo "Nothing to install yet: run make setup first."; exit 1; }
	@install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/ibid"
	@# Beside the old one, then in its place: a running server keeps the file that it started from.
	@install -m 755 $(IBID) "$(DESTDIR)$(PREFIX)/bin/.ibid.new"
	@mv -f "$(DESTDIR)$(PREFIX)/bin/.ibid.new" "$(DESTDIR)$(PREFIX)/bin/ibid"
	@for part in lib models plugins licenses; do \
	  rm -rf "$(DESTDIR)$(PREFIX)/share/ibid/$$part"; \
	  if [ -d $(SHARE)/$$part ]; then cp -a $(SHARE)/$$part "$(DESTDIR)$(PREFIX)/share/ibid/"; fi; \
	done
	@$(IBID) man "$(DESTDIR)$(PREFIX)/share/man/man1"
	@install -d "$(DESTDIR)$(PREFIX)/share/bash-completion/completions" "$(DESTDIR)$(PREFIX)/share/zsh/site-functions" "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d"
	@$(IBID) completions bash > "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ibid"
	@$(IBID) completions zsh > "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ibid"
	@$(IBID) completions fish > "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ibid.fish"
	@echo "Installed. Next: $(PREFIX)/bin/ibid doctor, then $(PREFIX)/bin/ibid serve"

uninstall: ## what install put there; data stays
	@rm -rf "$(DESTDIR)$(PREFIX)/bin/ibid" "$(DESTDIR)$(PREFIX)/share/ibid"
	@rm -f "$(DESTDIR)$(PREFIX)/share/man/man1/ibid.1" "$(DESTDIR)$(PREFIX)/share/man/man1/ibid-"*.1
	@rm -f "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/ibid" "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ibid"
	@rm -f "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ibid.fish"

clean: ## all that was built and fetched
	@rm -rf target
