package build

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	ctdsnapshot "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/cache/remotecache/azblob"
	"github.com/moby/buildkit/cache/remotecache/gha"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	localcache "github.com/moby/buildkit/cache/remotecache/local"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	s3cache "github.com/moby/buildkit/cache/remotecache/s3"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	dockerfileversion "github.com/moby/buildkit/frontend/dockerfile/version"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/archutil"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/disk"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
)

const (
	lockPoll      = 100 * time.Millisecond // how often a waiting engine tries for the state directory
	stopTimeout   = 5 * time.Second        // for running builds to unwind once the engine must stop
	historyLength = 10                     // finished builds the engine remembers; nobody asks for them
)

// Serve runs BuildKit in this process until ctx ends or opts.Parent reaches its end. It is the `engine` subcommand
// that Image starts (see ParseEngineArgs): one engine, one socket, one parent. It needs root, or rootlesskit around it.
func Serve(ctx context.Context, opts EngineOptions) error {
	ctx, ignore := signal.NotifyContext(ctx, syscall.SIGTERM) // the parent's death (see isolate)
	defer ignore()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // logging to a dead parent must not cut short what follows
	if opts.Parent != nil {
		go func() {
			_, _ = io.Copy(io.Discard, opts.Parent) // ends when the parent does, however it ends
			cancel()
		}()
	}
	if opts.Isolated {
		if err := ownProc(); err != nil {
			return err
		}
	}
	status := opts.Status
	if status == nil {
		status = io.Discard
	}
	unlock, err := lockState(ctx, opts.State, status)
	if err != nil {
		return err
	}
	defer unlock()

	listener, err := net.Listen("unix", opts.Socket)
	if err != nil {
		return fmt.Errorf("listen on engine socket: %w", err)
	}
	defer func() {
		_ = listener.Close()                     // removes the socket
		_ = os.Remove(filepath.Dir(opts.Socket)) // and its directory, should the parent be gone
	}()
	ctl, err := newController(ctx, opts)
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.WaitForHandlers(true),
	)
	ctl.Register(server)
	return serveUntil(ctx, server, listener, ctl, status)
}

// serveUntil answers requests until ctx ends, then stops every build, which kills its containers.
func serveUntil(ctx context.Context, server *grpc.Server, listener net.Listener, ctl *control.Controller, status io.Writer) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if _, err := fmt.Fprintln(status, statusReady); err != nil {
		return fmt.Errorf("report ready: %w", err)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stopped := make(chan struct{})
	go func() {
		server.Stop()
		_ = ctl.Close() // the databases survive being cut off; there is nobody left to tell
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(stopTimeout):
	}
	return nil
}

// ownProc finishes the namespaces that the parent made for the engine: with it as process 1 of its own process
// namespace, the kernel ends every container when the engine ends, even by SIGKILL, and its mounts vanish with it.
func ownProc() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	flags := uintptr(syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC)
	if err := syscall.Mount("proc", "/proc", "proc", flags, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	return nil
}

// lockState takes the state directory for this process, and waits while another engine has it. The kernel drops the
// lock when the process ends.
func lockState(ctx context.Context, dir string, status io.Writer) (func(), error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	told := false
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK {
			_ = f.Close()
			return nil, fmt.Errorf("lock %q: %w", dir, err)
		}
		if !told {
			told = true
			_, _ = fmt.Fprintln(status, statusWaiting)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("wait for %q: %w", dir, context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
}

// newController puts BuildKit together: one runc worker, the Dockerfile frontend, every cache backend.
func newController(ctx context.Context, opts EngineOptions) (*control.Controller, error) {
	version.Version = BuildKitVersion // set by the linker in BuildKit's own builds
	sessions, err := session.NewManager()
	if err != nil {
		return nil, fmt.Errorf("session manager: %w", err)
	}
	hosts := registryHosts(opts.InsecureRegistries)
	w, err := newWorker(ctx, opts, hosts)
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, fmt.Errorf("add worker: %w", err)
	}
	gw, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, fmt.Errorf("gateway frontend: %w", err)
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(opts.State, "cache.db"))
	if err != nil {
		return nil, fmt.Errorf("open cache database: %w", err)
	}
	history, err := boltutil.SafeOpen(filepath.Join(opts.State, "history.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open history database: %w", err)
	}
	entries := int64(historyLength)
	ctl, err := control.NewController(control.Opt{
		SessionManager:            sessions,
		WorkerController:          workers,
		Frontends:                 map[string]frontend.Frontend{frontendName: forwarder.NewGatewayForwarder(workers.Infos(), builder.Build), "gateway.v0": gw},
		ResolveCacheExporterFuncs: cacheExporters(sessions, hosts),
		ResolveCacheImporterFuncs: cacheImporters(sessions, w, hosts),
		CacheManager:              solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		Entitlements:              opts.Entitlements,
		HistoryDB:                 history,
		CacheStore:                cache,
		LeaseManager:              w.LeaseManager(),
		ContentStore:              w.ContentStore(),
		HistoryConfig:             &config.HistoryConfig{MaxEntries: &entries},
		GarbageCollect:            w.GarbageCollect,
		GracefulStop:              ctx.Done(),
	})
	if err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	return ctl, nil
}

func cacheExporters(sm *session.Manager, hosts docker.RegistryHosts) map[string]remotecache.ResolveCacheExporterFunc {
	return map[string]remotecache.ResolveCacheExporterFunc{
		"registry": registrycache.ResolveCacheExporterFunc(sm, hosts),
		"local":    localcache.ResolveCacheExporterFunc(sm),
		"inline":   inlinecache.ResolveCacheExporterFunc(),
		"gha":      gha.ResolveCacheExporterFunc(nil, nil),
		"s3":       s3cache.ResolveCacheExporterFunc(),
		"azblob":   azblob.ResolveCacheExporterFunc(),
	}
}

func cacheImporters(sm *session.Manager, w *base.Worker, hosts docker.RegistryHosts) map[string]remotecache.ResolveCacheImporterFunc {
	return map[string]remotecache.ResolveCacheImporterFunc{
		"registry": registrycache.ResolveCacheImporterFunc(sm, w.ContentStore(), hosts),
		"local":    localcache.ResolveCacheImporterFunc(sm),
		"gha":      gha.ResolveCacheImporterFunc(nil, nil),
		"s3":       s3cache.ResolveCacheImporterFunc(),
		"azblob":   azblob.ResolveCacheImporterFunc(),
	}
}

// registryHosts resolves registries as BuildKit does, with plain HTTP for those named.
func registryHosts(insecure []string) docker.RegistryHosts {
	plain := true
	m := make(map[string]resolverconfig.RegistryConfig, len(insecure))
	for _, host := range insecure {
		m[host] = resolverconfig.RegistryConfig{PlainHTTP: &plain}
	}
	return resolver.NewRegistryConfig(m)
}

// newWorker makes the worker that runs RUN steps with runc. They share the host's network unless a step says
// --network=none: the other modes need CNI plugins on the machine.
func newWorker(ctx context.Context, opts EngineOptions, hosts docker.RegistryHosts) (*base.Worker, error) {
	opt, err := runc.NewWorkerOpt(opts.State, snapshotter(opts.State), opts.Rootless, oci.ProcessSandbox, nil, nil,
		netproviders.Opt{Mode: "host"}, nil, opts.Runc, "", false, nil, "", "", nil)
	if err != nil {
		return nil, fmt.Errorf("runc worker: %w", err)
	}
	opt.RegistryHosts = hosts
	opt.Platforms = archutil.SupportedPlatforms(false)
	opt.GCPolicy = gcPolicy(opts.State)
	opt.BuildkitVersion = client.BuildkitVersion{Package: version.Package, Version: version.Version, DockerfileVersion: dockerfileversion.Version()}
	w, err := base.NewWorker(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	return w, nil
}

// snapshotter is overlayfs where the kernel and the file system can do it, else plain copies.
func snapshotter(state string) runc.SnapshotterFactory {
	if overlayutils.Supported(state) == nil {
		return runc.SnapshotterFactory{Name: "overlayfs", New: func(root string) (ctdsnapshot.Snapshotter, error) {
			return overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
		}}
	}
	return runc.SnapshotterFactory{Name: "native", New: native.NewSnapshotter}
}

// gcPolicy is BuildKit's own default for the disk that holds the state directory.
func gcPolicy(state string) []client.PruneInfo {
	stat, _ := disk.GetDiskStat(state) // unknown disk: BuildKit's fixed defaults
	rules := config.DefaultGCPolicy(config.GCConfig{}, stat)
	out := make([]client.PruneInfo, 0, len(rules))
	for _, r := range rules {
		out = append(out, client.PruneInfo{
			Filter:        r.Filters,
			All:           r.All,
			KeepDuration:  r.KeepDuration.Duration,
			ReservedSpace: r.ReservedSpace.AsBytes(stat),
			MaxUsedSpace:  r.MaxUsedSpace.AsBytes(stat),
			MinFreeSpace:  r.MinFreeSpace.AsBytes(stat),
		})
	}
	return out
}
