# One command per question. CI runs these targets and nothing else (.ci/run).

GO        ?= go
BIN       := $(CURDIR)/bin
DIST      := $(CURDIR)/dist
# Effort, at the size of a change under review; the nightly run raises it.
SEEDS     ?= 500
FUZZTIME  ?= 5s
BENCHTIME ?= 1s
SOAKTIME  ?= 10m

# Where both binaries are built; windows has the command line only.
PLATFORMS := linux/amd64 linux/arm64 darwin/arm64

.PHONY: build test check fmt fmtcheck vet lint proto race seeds mutants fuzz cross e2e kube bench scale microbench soak generate golden tools clean help

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## build bin/dvx and bin/dvxd
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ ./cmd/dvx ./cmd/dvxd

test: ## run every test that needs neither root nor network
	$(GO) test ./...

check: fmtcheck vet lint proto race seeds mutants fuzz ## all that a change must pass

fmt: tools ## lay out every Go file
	$(BIN)/golangci-lint fmt

fmtcheck:
	@files=$$(gofmt -l .); \
	if [ -n "$$files" ]; then echo "not gofmt-ed (make fmt):"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...
	$(GO) vet -tags scale ./test/scale/
	$(GO) vet -tags kube ./test/kube/

lint: tools
	$(BIN)/golangci-lint run

# The generated files must be those that the pinned plugins make.
proto: tools
	$(BIN)/buf lint
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	PATH=$(BIN):$$PATH $(BIN)/buf generate -o "$$tmp" && \
	for f in proto/dvx/v1/*.pb.go; do \
	  cmp -s "$$f" "$$tmp/$$f" || { echo "$$f is not what make generate makes"; exit 1; }; \
	done
	.ci/breaking $(BIN)/buf

race: ## run the tests under the race detector
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m ./...

# Tests that read DVX_SEEDS try that many random histories; a failure prints the
# seed, and DVX_SEED=n replays it alone.
seeds: ## run the simulation and the crash tests, SEEDS histories each
	@dirs=$$(grep -rl --include='*_test.go' DVX_SEEDS pkg cmd test/proof | grep -v pkg/internal/tidy | xargs -r -n1 dirname | sort -u | sed 's,^,./,'); \
	if [ -z "$$dirs" ]; then echo "no test reads DVX_SEEDS"; exit 1; fi; \
	DVX_SEEDS=$(SEEDS) $(GO) test -count=1 -timeout 40m $$dirs

mutants: ## switch off one rule of the protocol at a time; the tests must notice
	$(GO) run ./test/mutants

fuzz: ## run every fuzz target for FUZZTIME
	GO=$(GO) .ci/fuzz $(FUZZTIME)

cross: ## build for every platform, without cgo
	@set -e; for p in $(PLATFORMS); do \
	  echo "$$p: dvx dvxd"; mkdir -p $(DIST)/$$p; \
	  CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -o $(DIST)/$$p/ ./cmd/dvx ./cmd/dvxd; \
	done
	@echo "windows/amd64: dvx"; mkdir -p $(DIST)/windows/amd64
	@CGO_ENABLED=0 GOOS=windows GOARCH=amd64 $(GO) build -trimpath -o $(DIST)/windows/amd64/ ./cmd/dvx

e2e: build $(BIN)/versitygw $(BIN)/mc ## run the binaries end to end; installs what is missing if root
	.ci/install awscli curl nodejs npm python3 python3-boto3 rclone restic s3cmd s3fs strace zstd
	@$(MAKE) --no-print-directory $(BIN)/npm/node_modules
	DVX_BIN=$(BIN) $(GO) test -tags e2e -count=1 -timeout 30m -v ./test/e2e/...

# Needs root on Debian 12, for a cluster of one node that it starts and ends, or
# KUBECONFIG, DVX_KUBE_HOST and DVX_KUBE_REGISTRY (test/kube).
kube: build $(BIN)/versitygw ## run pipelines in Pods of a real Kubernetes, which it builds and starts
	DVX_BIN=$(BIN) $(GO) test -tags kube -count=1 -timeout 20m -v ./test/kube

# BENCH holds flags of test/bench, such as "-only big -runs 3".
bench: build $(BIN)/versitygw ## compare dvx with restic, borg, git, cp and find, and its S3 with versitygw
	$(GO) run ./test/bench -dvx $(BIN)/dvx $(BENCH)

microbench: ## run the benchmarks of the packages; the result is dist/bench.txt
	@mkdir -p $(DIST)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./... | tee $(DIST)/bench.txt

scale: build ## measure stores of millions of files and tens of millions of chunks
	DVX_BIN=$(BIN) $(GO) test -tags scale -count=1 -timeout 60m -v ./test/scale/

soak: build $(BIN)/versitygw $(BIN)/mc $(BIN)/npm/node_modules ## try to lose data for SOAKTIME in each of four ways
	DVX_SOAK=$(SOAKTIME) $(GO) test -count=1 -timeout 0 -run Soak ./test/proof
	DVX_BIN=$(BIN) DVX_SOAK=$(SOAKTIME) $(GO) test -tags e2e -count=1 -timeout 0 -v -run Soak ./test/e2e/...

generate: tools ## make the generated files anew
	PATH=$(BIN):$$PATH $(BIN)/buf generate
	$(GO) generate ./...

# Read the diff before committing it: a changed golden file is a changed format.
golden: ## write the golden files anew
	@dirs=$$(grep -rlE --include='*_test.go' 'flag\.Bool(Var)?\(.*"update"' pkg cmd | xargs -r -n1 dirname | sort -u | sed 's,^,./,'); \
	if [ -z "$$dirs" ]; then echo "no package has golden files"; exit 1; fi; \
	$(GO) test -count=1 -run Golden $$dirs -args -update; git status --short

tools: $(BIN)/.tools

# The versions are those of tools/go.mod. A stamp keeps them from being built twice.
$(BIN)/.tools: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && GOBIN=$(BIN) $(GO) install tool
	@touch $@

# The S3 server of the end-to-end tests, as test/s3server/go.mod pins it.
$(BIN)/versitygw: test/s3server/go.mod test/s3server/go.sum
	@mkdir -p $(BIN)
	cd test/s3server && GOBIN=$(BIN) $(GO) install tool
	@touch $@

# The S3 clients of the end-to-end tests that are Go: mc, and a program on the AWS SDK.
$(BIN)/mc: test/clients/go.mod test/clients/go.sum test/clients/awsgo/main.go
	@mkdir -p $(BIN)
	cd test/clients && GOBIN=$(BIN) $(GO) install tool ./awsgo
	@touch $@

# Those from npm.
$(BIN)/npm/node_modules: test/clients/package.json
	@mkdir -p $(BIN)/npm
	cp test/clients/package.json $(BIN)/npm/
	cd $(BIN)/npm && npm install --no-audit --no-fund --loglevel error
	@touch $@

clean: ## remove what was built
	rm -rf $(BIN) $(DIST)
