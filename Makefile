# demo and test are all a newcomer needs; the rest is for people who change the code.
BIN := .tools/bin

.PHONY: pkcs11-test demo demo-keyless test build tools lint bench groundtruth interop container-test
build:
	CGO_ENABLED=0 go build -o $(BIN)/sealyard .

tools:
	tools/tools.sh

demo: build
	demo/demo.sh
	demo/team.sh

demo-keyless: build
	demo/keyless.sh

test: tools
	go vet ./...
	go test ./...

lint:
	tools/tools.sh staticcheck actionlint govulncheck
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(BIN)/staticcheck ./...
	$(BIN)/actionlint
	$(BIN)/govulncheck ./...

bench: build
	tools/tools.sh runc registry sigstack buildx syft grype cosign
	bench/bench.sh

groundtruth:
	go test ./scan -run GroundTruth -v

interop: build
	tools/tools.sh runc registry sigstack cosign gh syft grype
	go test ./action -run Interop -v

container-test:
	test/container-action.sh

pkcs11-test:
	CGO_ENABLED=1 go test -tags pkcs11key ./attest -run PKCS11 -v
