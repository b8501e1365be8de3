# Two commands do all their own set-up on a fresh Debian machine with Rust:
#   make demo   the main job on embedded defaults, from an agent's query to an audit answer
#   make test   everything that must hold before a change lands
.DEFAULT_GOAL := help
.PHONY: help setup build demo dev test test-quick test-e2e test-crash test-browser test-mcp test-approvals console fuzz lint fmt deny bench bench-smoke release sbom check-roles check-deploy check-units

CARGO ?= cargo
SHELL := /bin/bash
BIN = $(or $(CARGO_TARGET_DIR),target)/debug/tallyport

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## install what a fresh Debian machine lacks (a C toolchain, cmake, PostgreSQL)
	@deploy/dev/setup

build: setup ## the binary, in the dev profile that demo and test share
	$(CARGO) build --locked -p tallyport

demo: build ## the main job end to end, then the commands to try next
	$(BIN) demo

dev: build ## the same services, staying up
	$(BIN) dev

lint: setup ## formatting, clippy without warnings, licences and advisories
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@deploy/dev/deny

test: setup ## lint, then every test: unit, property, conformance, end to end, real clients, crash
	deploy/dev/run-tests all

test-quick: setup ## what gives feedback in minutes: no browsers, no Kafka, no foreign clients
	deploy/dev/run-tests quick

test-e2e: setup ## the binary against real parts and unchanged clients
	deploy/dev/run-tests e2e

test-crash: setup ## the crash tests, longer than in `make test` (ROUNDS=20)
	deploy/dev/run-tests crash

test-browser: setup ## the pages for people in headless Chromium, and that what is committed of them is built of their source
	$(CARGO) test --locked --workspace --test cli --test browser

console: ## build the page anew (console/web to console/dist); commit what changed
	deploy/dev/console-build console/dist

test-mcp: setup ## MCP: the front, the tools, real clients, the conformance suite
	$(CARGO) test --locked --workspace --test cli --test mcp_front --test mcp

test-approvals: setup ## approvals under chance, more than in `make test` (RUNS=5000)
	TALLYPORT_APPROVALS_RUNS=$(or $(RUNS),5000) $(CARGO) test --locked --workspace --test approvals_random -- --nocapture

fuzz: setup ## the fuzz targets, guided by coverage, an hour each (TARGET=session SECONDS=600)
	deploy/dev/fuzz $(or $(TARGET),all) $(or $(SECONDS),3600)

bench: setup ## figures of docs/benchmarks.md, side by side with named peers
	deploy/dev/bench all

bench-smoke: setup ## proves that the benches run
	deploy/dev/bench smoke

release: setup ## what is released: archive, bill of materials, checksums (target/release-files; 40 minutes)
	deploy/release/build --out $(or $(OUT),target/release-files)

sbom: ## the bill of materials (CycloneDX) of a build, without building (ROLE=all)
	@mkdir -p $(or $(OUT),target/release-files)
	deploy/release/sbom --role $(or $(ROLE),all) > $(or $(OUT),target/release-files)/tallyport-$(or $(ROLE),all).cdx.json

check-roles: setup ## each role alone compiles (each is a set of features of its own: slow the first time)
	for role in gateway recorder query; do $(CARGO) check --locked -p tallyport --no-default-features --features $$role || exit 1; done
	$(CARGO) check --locked -p tallyport --no-default-features

check-deploy: ## what is shipped under deploy/: configurations, units, chart, compose file, rules, dashboard, package
	deploy/dev/check-deploy

check-units: setup build ## the Debian package and its units, run on a Debian that systemd-nspawn starts (root)
	deploy/dev/check-units

fmt: ## format
	$(CARGO) fmt --all
