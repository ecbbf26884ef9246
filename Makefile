# Plain "make" lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# How long "make fuzz" spends on each target.
FUZZTIME ?= 60s

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Makes .deb and .rpm. Later versions need modules that could not be had when this was built.
NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build the server and run it with its defaults; Ctrl-C drains
	@bin/icomet-server

# Without cgo, so that it needs no C compiler and runs on any Linux.
.PHONY: build
build: ## build bin/icomet-server
	CGO_ENABLED=0 go build -o bin/ ./cmd/icomet-server

# The address of the demo's page; 0.0.0.0:8080 lets phones reach it.
DEMO_LISTEN ?= 127.0.0.1:8080

# The application and the push server are two processes, as in real use; when one ends,
# the other is stopped. setsid keeps Ctrl-C from the server: one signal, from the trap.
.PHONY: demo
demo: build ## run the chat demo and the server it needs; Ctrl-C ends both; TLS=1 makes a certificate for both
	@CGO_ENABLED=0 go build -o bin/icomet-demo ./web/demo
	@export ICOMET_FRONT_AUTH=token ICOMET_FRONT_CHANNEL_BUFFER_SIZE=50 ICOMET_FRONT_CHANNEL_TIMEOUT=600; \
	export ICOMET_LOGGER_LEVEL=warn ICOMET_LIMITS_DRAIN_TIMEOUT=1s; \
	folder=; \
	trap 'trap : INT; kill $$(jobs -p) 2>/dev/null || :; wait; rm -rf "$$folder"' EXIT; \
	trap 'exit 0' INT; \
	if [ -n "$(TLS)" ]; then \
		folder=$$(mktemp -d); \
		bin/icomet-demo -certificate "$$folder" -listen $(DEMO_LISTEN); \
		export ICOMET_FRONT_TLS_CERTIFICATES="$$folder/demo.pem:$$folder/demo.key"; \
	fi; \
	setsid bin/icomet-server & server=$$!; \
	bin/icomet-demo -listen $(DEMO_LISTEN) -server $$server $${folder:+-tls "$$folder"} & \
	wait -n

# As for the demo. MODEL=provider/name takes a real model.
.PHONY: ai-chat
ai-chat: build ## run the chat with an AI model, and the server it needs; Ctrl-C ends both
	@test -d examples/ai-chat/node_modules || npm ci --prefix examples/ai-chat --ignore-scripts --no-audit --no-fund
	@ICOMET_LOGGER_LEVEL=warn ICOMET_LIMITS_DRAIN_TIMEOUT=1s setsid bin/icomet-server examples/ai-chat/icomet.toml & \
	node examples/ai-chat/server.mjs & \
	trap 'trap : INT; kill $$(jobs -p) 2>/dev/null; wait' EXIT; \
	trap 'exit 0' INT; \
	wait -n

# Two packages at a time, because most of a test is waiting, and those with a browser
# first, because they take longest. The allocation tests run
# without the race detector, because it allocates, and the simulation, because it is slow.
SIMULATIONS ?= 3000

# The tests that "make test" runs a second time over TLS, half a minute of them: what is said
# (transcripts, heads, bodies), each transport, the model, backlogs, slow readers, ends. "make
# torture" runs all, but for those that count allocations: the clients of the tests would be in
# the figures. TestAllocsTurn in server/reactor counts over TLS too, without clients.
OVER_TLS := ^Test(Transcripts|Model|CutAnywhere|Head.*|StrangeBodies|Expect.*|WaitingPoll.*|Stream.*|ScriptTag|EventSource|Curl\
	|Frames.*|Socket.*|CommandsOfOneChannel|Compression|Many.*|DrainEndsEachKind|DrainUnderLoad|SlowReadersAreCut\
	|PublisherThatDoesNotRead|PingsNeverRead|EndWhile.*|LiveAfter.*|Timeouts.*|OverTheCap|ProxyProtocol.*|PerIP.*|KeepAlive|Reload.*)$$
over_tls := $(shell echo '$(OVER_TLS)' | tr -d ' ')

.PHONY: test
test: test-needs ## run all tests, most of them with the race detector
	CGO_ENABLED=1 go test -race -shuffle=on -timeout 20m -p 2 -parallel 8 ./web/... ./...
	ICOMET_TEST_TLS=1.3 CGO_ENABLED=1 go test -race -shuffle=on -parallel 4 -run '$(over_tls)' ./server/e2e
	ICOMET_SIMULATIONS=$(SIMULATIONS) go test -run '^Test(Allocs|Simulation)' ./...

# The same tests are part of "make test".
.PHONY: docs-test
docs-test: ## run the commands of README.md and docs, check them and the API against the server
	go test -count=1 ./docs
	go test -count=1 -run '^TestOpenAPI' ./server
	go test -count=1 -run '^Test(Reference|ShippedConfig)' ./server/config

# The race detector needs cgo, so a C compiler with its headers. Tests run the other
# tools: proxies in front of the server, a browser, Redis, and the languages of the
# examples (Java only if it is installed, because its package is large).
NPM := cmd/icomet-server/testdata/clients examples/ai-chat
TEST_TOOLS := curl openssl sslscan nginx haproxy caddy chromium redis-server npm python3 jq

.PHONY: test-needs
test-needs:
	@needs=; \
	echo '#include <stdlib.h>' | $$(go env CC) -E -x c - >/dev/null 2>&1 || needs+=' gcc libc6-dev'; \
	for tool in $(TEST_TOOLS); do \
		PATH=$$PATH:/usr/sbin command -v $$tool >/dev/null || needs+=" $$tool"; \
	done; \
	command -v node >/dev/null || needs+=' nodejs'; \
	command -v php >/dev/null || needs+=' php-cli'; \
	command -v groff >/dev/null || needs+=' groff-base'; \
	command -v tsc >/dev/null || needs+=' node-typescript'; \
	/usr/bin/python3 -c 'import websockets' 2>/dev/null || needs+=' python3-websockets'; \
	if [ -n "$$needs" ]; then \
		echo "installing what the tests need:$$needs"; \
		as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
		$$as_root apt-get update -q; \
		$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$needs; \
	fi
	@for dir in $(NPM); do \
		test -d $$dir/node_modules || npm ci --prefix $$dir --ignore-scripts --no-audit --no-fund || \
			echo "npm cannot be reached: the tests with the packages of $$dir are skipped"; \
	done

.PHONY: lint
lint: ## gofmt, go vet and staticcheck
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w:"; echo "$$unformatted"; exit 1; fi
	go vet ./... && go vet -tags torture ./server/torture
	go run $(STATICCHECK) ./...

# Go's fuzzer sometimes reports the end of its own time as a failure of the target.
# A real failure always writes the failing input.
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (60s)
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$(dirname "$$file") $$target"; \
			if ! go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" 2>&1 | tee "$$log"; then \
				if ! grep -qx '    context deadline exceeded' "$$log" || grep -q 'Failing input' "$$log"; then exit 1; fi; \
			fi; \
		done; \
	done

# How many random histories of the model tests "make torture" checks.
MODEL_CHECKS ?= 200
# The same for the tests of continuity, which restart servers.
HISTORIES ?= 10000

# The tests of what the server promises within a second. In "make test", beside other
# tests, they have wider limits.
PUNCTUAL := ^Test(HeartbeatTime|HeartbeatAfterSilence|DeliveryPutsTheHeartbeatOff|HeartbeatsAllDueAtOnce|LifeOfAChannel|RequestTimeout|IdleTimeout|LingerKeepsTheAnswer|DrainEndsEachKind|DrainIsEven|PresenceRepeats)$$
PUNCTUAL_REDIS := ^Test(.*FailoverUnderLoad|KillRedis|SlowRedis|NetworkHalfOpen|Expiry|DeadNode|KillRedisProcess|ReadyWithRedis)$$

.PHONY: torture
torture: SIMULATIONS = 1000000
torture: build ## hostile clients and faults at full size, and 1,000,000 simulations of Redis: hours; needs qemu, 20,000 open files
	ICOMET_TORTURE=full go test -tags torture -count=1 -v -parallel 1 -timeout 60m ./server/torture
	ICOMET_TORTURE=full go test -count=1 -parallel 1 -run '$(PUNCTUAL)' ./server/e2e
	ICOMET_TORTURE=full go test -count=1 -p 1 -parallel 1 -run '$(PUNCTUAL_REDIS)' ./channel/redis ./cmd/icomet-server
	ICOMET_TORTURE=full go test -count=1 -run '^Test(MaxChannelsExact|RandomOperations)$$' ./channel
	ICOMET_TORTURE=full go test -count=1 -p 1 -run '^Test(SnapshotUnderLoad|AllocsManyChannels)$$' ./cmd/icomet-server ./channel/snapshot
	ICOMET_SIMULATIONS=$(SIMULATIONS) go test -count=1 -timeout 12h -run '^TestSimulation$$' ./channel/redis
	ICOMET_MODEL_CHECKS=$(MODEL_CHECKS) go test -count=1 -timeout 60m -run '^TestModel$$' ./server/e2e
	ICOMET_HISTORIES=$(HISTORIES) ICOMET_TORTURE=full go test -count=1 -timeout 4h -parallel 20 ./server/continuity
	for version in 1.3 1.2; do \
		export ICOMET_TEST_TLS=$$version; \
		ICOMET_MODEL_CHECKS=$(MODEL_CHECKS) go test -count=1 -parallel 4 -timeout 60m -skip '^TestAllocs' ./server/e2e; \
		go test -count=1 -timeout 60m ./server/continuity; \
	done
	ICOMET_MODEL_CHECKS=$$((100 * $(MODEL_CHECKS))) go test -count=1 -timeout 60m ./channel/modeltest
	ICOMET_TORTURE=full go test -count=1 -timeout 60m -run '^TestRandomHistories$$' ./web
	bench/million/run-in-vm --mem 1G --timeout 180 -- server/torture/clock-steps bin/icomet-server

# How long "make soak" runs, in seconds.
SOAK_SECONDS ?= 600

.PHONY: soak
soak: ## good and bad clients for SOAK_SECONDS (600), then faults of Redis: nothing lost, nothing leaked
	ICOMET_SOAK_SECONDS=$(SOAK_SECONDS) go test -count=1 -v -timeout $$(($(SOAK_SECONDS) + 600))s -run '^TestSoak$$' ./server/torture
	ICOMET_SOAK_SECONDS=$(SOAK_SECONDS) go test -count=1 -v -timeout $$(($(SOAK_SECONDS) + 600))s -run '^TestSoak$$' ./channel/redis

.PHONY: bench
bench: build ## short load set against the ceiling, and our own part of a turn: 3 minutes; writes README.md's table
	go build -o bin/ ./cmd/icomet-bench
	bin/icomet-bench suite -server bin/icomet-server -update README.md
	go test -run '^$$' -bench '^BenchmarkTurn' ./server/reactor

.PHONY: compare
compare: ## iComet, nchan, Centrifugo's library and the ceiling, 5 rounds of 15 scenarios: an hour
	bench/compare/compare

.PHONY: bench-redis
bench-redis: ## cost and latency of the Redis engine, against redis-benchmark: 20 minutes
	bench/redis/redis

.PHONY: cluster
cluster: ## 216,000 subscribers on 12 nodes, one Redis: 2 minutes; needs 20,000 open files
	bench/cluster/cluster

.PHONY: million
million: ## hold 200,000, then 1,000,000 subscribers in a virtual machine
	bench/million/million

.PHONY: package
package: ## static binaries, .deb, .rpm, SBOMs and checksums for amd64 and arm64, in dist/
	NFPM=$(NFPM) packaging/build dist

# As root, because it installs the .deb into an empty root.
.PHONY: package-test
package-test: package-test-needs ## build the packages twice and compare, install and run them, under systemd too: 10 minutes; needs root
	ICOMET_PACKAGES=full NFPM=$(NFPM) go test -count=1 -v -timeout 60m ./packaging ./packaging/manual

.PHONY: package-test-needs
package-test-needs:
	@needs=; \
	command -v rpm >/dev/null || needs+=' rpm'; \
	command -v qemu-aarch64-static >/dev/null || needs+=' qemu-user-static'; \
	command -v systemd-analyze >/dev/null || needs+=' systemd'; \
	command -v debootstrap >/dev/null || needs+=' debootstrap'; \
	command -v ip >/dev/null || needs+=' iproute2'; \
	command -v qemu-system-x86_64 >/dev/null || needs+=' qemu-system-x86'; \
	command -v zsh >/dev/null || needs+=' zsh'; \
	command -v fish >/dev/null || needs+=' fish'; \
	if [ -n "$$needs" ]; then \
		echo "installing what the tests of the packages need:$$needs"; \
		apt-get update -q; \
		DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$needs; \
	fi
	@go -C packaging/kubernetes build -o /dev/null . # loads the modules of Kubernetes' types
	@go -C packaging/compose build -o /dev/null . # and of Compose's loader

.PHONY: release
release: ## check everything, build the packages and tag: VERSION=x.y.z; sends nothing
	packaging/release "$(VERSION)"

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
