package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// Limits of the edge.
const (
	messageSizeMax = 4 << 20 // bytes of one message
	pieceSize      = 1 << 20 // bytes of a chunk in one message
	streamsMax     = 128     // of one connection at once; more wait at the client

	deadAfter = 2 * time.Minute // without a sign of life a connection is asked for one
)

// Authenticator knows whom a bearer token stands for, or fails with
// auth.ErrUnauthenticated. It may be used concurrently.
type Authenticator interface {
	// Authenticate returns whom a bearer token stands for.
	Authenticate(token string) (auth.Principal, error)
}

// ServerOptions configures a [Server].
type ServerOptions struct {
	Store      repo.Store       // what is served
	Writer     *repo.Writer     // adds to open commits; nil: that is refused
	Jobs       Jobs             // the engine's jobs; nil: there is no engine here
	Explain    Explain          // answers about pipelines; nil: none are given
	Past       Past             // what happened; nil: nobody tells
	Cache      Cache            // what is remembered; nil: nothing runs here
	Board      *lease.Board     // tasks for workers elsewhere; nil: there are none
	Workers    Workers          // who may take them
	Keys       Authenticator    // who may come in
	Authorizer auth.Authorizer  // what they may do
	TLS        *tls.Config      // nil: in the clear; see [auth.PrincipalOf] for client certificates
	Audit      Auditor          // nil: nothing is written down
	Log        *slog.Logger     //
	Now        func() time.Time //
	ScopeIdle  time.Duration    // after which an unused scope ends; 10 minutes by default
}

// Server serves a store over gRPC.
type Server struct {
	opts      ServerOptions
	scopes    *scopes
	histories histories
	grpc      *grpc.Server
	health    *health.Server
}

// NewServer makes a server. Serve it with [Server.GRPC].
func NewServer(o ServerOptions) *Server {
	if o.ScopeIdle == 0 {
		o.ScopeIdle = 10 * time.Minute // longer than any pause between two chunks of a live client
	}
	s := &Server{opts: o, scopes: newScopes(o.Now, o.ScopeIdle), health: health.NewServer()}
	s.histories.store = o.Store
	onPanic := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		return toStatus(ctx, o.Log, "panic", fmt.Errorf("panic: %v", p))
	})
	transport := insecure.NewCredentials()
	if o.TLS != nil {
		transport = credentials.NewTLS(o.TLS)
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(transport),
		grpc.MaxRecvMsgSize(messageSizeMax),
		grpc.MaxConcurrentStreams(streamsMax),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: deadAfter}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(recovery.UnaryServerInterceptor(onPanic), s.unary),
		grpc.ChainStreamInterceptor(recovery.StreamServerInterceptor(onPanic), s.stream),
	)
	dvxv1.RegisterRefServiceServer(s.grpc, &refService{s: s})
	dvxv1.RegisterDataServiceServer(s.grpc, &dataService{s: s})
	dvxv1.RegisterCommitServiceServer(s.grpc, &commitService{s: s})
	if o.Jobs != nil {
		dvxv1.RegisterPipelineServiceServer(s.grpc, &pipelineService{s: s})
		dvxv1.RegisterJobServiceServer(s.grpc, &jobService{s: s})
		dvxv1.RegisterLogServiceServer(s.grpc, &logService{s: s})
	}
	if o.Explain != nil {
		dvxv1.RegisterExplainServiceServer(s.grpc, &explainService{s: s})
	}
	if o.Past != nil {
		dvxv1.RegisterRunServiceServer(s.grpc, &runService{s: s})
		dvxv1.RegisterEventServiceServer(s.grpc, &eventService{s: s})
	}
	if o.Cache != nil {
		dvxv1.RegisterCacheServiceServer(s.grpc, &cacheService{s: s})
	}
	if o.Board != nil {
		dvxv1.RegisterWorkerServiceServer(s.grpc, &workerService{s: s, board: o.Board, who: o.Workers})
	}
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	return s
}

// GRPC returns the gRPC server, to be served and stopped by the caller.
func (s *Server) GRPC() *grpc.Server { return s.grpc }

// Close ends all scopes. Call it after the gRPC server has stopped.
func (s *Server) Close() error {
	s.health.Shutdown()
	return s.scopes.closeAll()
}

// authenticate establishes the principal of a call. Health asks for none, and
// workers are none: their service looks at their keys itself.
func (s *Server) authenticate(ctx context.Context, method string) (context.Context, error) {
	if strings.HasPrefix(method, "/grpc.health.v1.Health/") {
		return ctx, nil
	}
	if strings.HasPrefix(method, workerPrefix) {
		return withWorker(ctx), nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) == 0 {
		if p, err := certified(ctx); err == nil {
			return auth.With(ctx, p), nil
		}
	}
	if len(values) != 1 {
		return nil, fmt.Errorf("no key was sent; name the daemon's key file with --key-file: %w", auth.ErrUnauthenticated)
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok {
		return nil, fmt.Errorf("authorization is not a bearer token: %w", auth.ErrUnauthenticated)
	}
	p, err := s.opts.Keys.Authenticate(token)
	if err != nil {
		return nil, err
	}
	return auth.With(ctx, p), nil
}

// certified returns whom the certificate of a call's client names.
func certified(ctx context.Context) (auth.Principal, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return auth.Principal{}, auth.ErrUnauthenticated
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return auth.Principal{}, auth.ErrUnauthenticated
	}
	return auth.PrincipalOf(info.State)
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	who, err := s.authenticate(ctx, info.FullMethod)
	if err != nil {
		return nil, toStatus(ctx, s.opts.Log, info.FullMethod, err)
	}
	resp, err := next(who, req)
	status := toStatus(who, s.opts.Log, info.FullMethod, err)
	s.audit(who, info.FullMethod, req, status)
	return resp, status
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	ctx, err := s.authenticate(ss.Context(), info.FullMethod)
	if err != nil {
		return toStatus(ss.Context(), s.opts.Log, info.FullMethod, err)
	}
	err = toStatus(ctx, s.opts.Log, info.FullMethod, next(srv, &principalStream{ServerStream: ss, ctx: ctx}))
	s.auditDenied(ctx, info.FullMethod, err)
	return err
}

// principalStream is a stream whose context carries the principal.
type principalStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // gRPC hands a stream's context over by this method
}

// Context implements grpc.ServerStream.
func (s *principalStream) Context() context.Context { return s.ctx }

// allow asks the Authorizer for the principal of ctx.
func (s *Server) allow(ctx context.Context, a auth.Action, r auth.Resource) error {
	p, err := auth.From(ctx)
	if err != nil {
		return err
	}
	return s.opts.Authorizer.Authorize(ctx, p, a, r)
}

// allowTxn asks for the rights that a transaction needs, before any of it is
// applied.
func (s *Server) allowTxn(ctx context.Context, t repo.Txn) error {
	for _, op := range t.Ops {
		name, branch, admin := rightsOf(op)
		action := auth.Write
		if admin {
			action = auth.Admin
		}
		if _, ok := op.(repo.MoveSpec); ok {
			action = auth.WritePipeline
		}
		if err := s.allow(ctx, action, auth.Resource{Repo: name, Branch: branch}); err != nil {
			return err
		}
	}
	return nil
}
