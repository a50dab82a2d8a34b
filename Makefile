SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.PHONY: help demo test containers containers-quick verify unit attack fmt fuzz coverage bench bench-growth db db-stop sqlx-prepare sqlx-check contract-baseline docs setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## collect economic series into TimescaleDB, emit crossings, and print events live
	@scripts/demo

test: verify containers-quick unit ## all that CI checks: lints, contract, licences, SQL, containers, tests

verify: ## every check but the tests
	@scripts/verify

unit: ## the tests alone
	@scripts/test

containers: ## build the Dockerfile, run docker-compose.yaml and break it
	@scripts/containers full

containers-quick: ## the same with the programs that the tests compile, on a private Docker engine
	@scripts/test compile
	@scripts/containers quick

attack: ## attack the programs over the loopback: floods, half requests, costly messages
	@scripts/attack

fmt: ## format the Rust sources
	@cargo fmt --all

fuzz: ## fuzz the parsers of untrusted input, a minute each
	@scripts/fuzz

coverage: ## which lines the tests reach, per crate (compiles everything once more)
	@scripts/coverage

bench: ## measure beside NATS, Redis and the limits of the machine; writes bench/RESULTS.md
	@scripts/bench

bench-growth: ## measure how cost grows; writes the plots and tables of docs/performance.md
	@scripts/bench growth

db: ## start a private TimescaleDB; prints its URL
	@scripts/db up

db-stop: ## stop it; its data stays
	@scripts/db down

sqlx-prepare: ## refresh .sqlx after a change of SQL or migrations
	@scripts/sqlx-prepare

sqlx-check: ## fail if .sqlx is out of date
	@scripts/sqlx-prepare --check

contract-baseline: ## accept the present contract as the baseline for compatibility checks
	@scripts/contract baseline

docs: ## regenerate docs/configuration.md after a change of settings
	@ATLAS_WRITE_DOCS=1 cargo test --quiet -p atlas --test configuration_page

setup: ## install the tools that building and checking need
	@scripts/setup
