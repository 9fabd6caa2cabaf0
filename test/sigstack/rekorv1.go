package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/go-openapi/loads"
	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	trees "github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"github.com/sigstore/rekor/pkg/api"
	"github.com/sigstore/rekor/pkg/generated/restapi"
	"github.com/sigstore/rekor/pkg/generated/restapi/operations"
	rekorlog "github.com/sigstore/rekor/pkg/log"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/types/dsse"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1" // registers itself
	"github.com/sigstore/rekor/pkg/types/hashedrekord"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	"github.com/sigstore/rekor/pkg/types/intoto"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
	"github.com/spf13/viper"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// startRekorOne starts Rekor v1 over a Trillian log in memory.
func (s *stack) startRekorOne(ctx context.Context, _ string) (http.Handler, error) {
	port, err := startTrillian(ctx)
	if err != nil {
		return nil, err
	}
	rekorlog.Logger = zap.NewNop().Sugar()
	for name, value := range map[string]any{
		"rekor_server.hostname": host, "rekor_server.signer": "memory", "enable_retrieve_api": false,
		"trillian_log_server.address": host, "trillian_log_server.port": port,
		"enabled_api_endpoints": []string{"getLogInfo", "getPublicKey", "getLogProof", "createLogEntry", "getLogEntryByIndex", "getLogEntryByUUID", "searchLogQuery"},
	} {
		viper.Set(name, value)
	}
	types.SetAllowedKindsForSubmission([]string{dsse.KIND, hashedrekord.KIND, intoto.KIND})
	doc, err := loads.Embedded(restapi.SwaggerJSON, restapi.FlatSwaggerJSON)
	if err != nil {
		return nil, err
	}
	server := restapi.NewServer(operations.NewRekorServerAPI(doc))
	api.ConfigureAPI(0) // makes a tree
	server.ConfigureAPI()
	h := server.GetHandler()
	raw, err := get(h, "/api/v1/log/publicKey")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("its key is not PEM")
	}
	s.rekor1, err = x509.ParsePKIXPublicKey(block.Bytes)
	return h, err
}

// startTrillian starts what Rekor v1 keeps its log in, server and sequencer, until ctx ends.
func startTrillian(ctx context.Context) (port int, err error) {
	storage := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage: memory.NewAdminStorage(storage), LogStorage: memory.NewLogStorage(storage, nil), QuotaManager: quota.Noop(),
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(server, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(server, trees.NewTrillianLogRPCServer(registry, clock.System))
	sequencer := log.NewOperationManager(log.OperationInfo{
		Registry: registry, BatchSize: 100, NumWorkers: 1, RunInterval: 20 * time.Millisecond, TimeSource: clock.System,
	}, log.NewSequencerManager(registry, 0))
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	go server.Serve(l)
	go sequencer.OperationLoop(ctx)
	context.AfterFunc(ctx, server.Stop)
	return l.Addr().(*net.TCPAddr).Port, nil
}
