package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// workerVersion is that of what workers and daemons say to each other.
const workerVersion = 1

// takeWait is how long a worker waits for a task in one call.
const takeWait = 30 * time.Second

// leasesMax is how many tasks a worker can take at once.
const leasesMax = 256

// Workers knows who may take tasks.
type Workers interface {
	// Prove returns whom a proof shows. It fails with auth.ErrUnauthenticated if
	// it shows nobody; any other error says that nobody could tell now.
	Prove(ctx context.Context, proof string) (lease.Worker, error)
}

// workerService hands tasks to workers.
type workerService struct {
	dvxv1.UnimplementedWorkerServiceServer
	s     *Server
	board *lease.Board
	who   Workers
}

// workerPrefix is what the names of the methods for workers begin with.
const workerPrefix = "/dvx.v1.WorkerService/"

type workerKey struct{}

// withWorker keeps the key that a worker shows for the service: it stands for
// no principal, and opens nothing else.
func withWorker(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) != 1 {
		return ctx
	}
	key, _ := strings.CutPrefix(values[0], "Bearer ")
	return context.WithValue(ctx, workerKey{}, lease.Key(key))
}

func workerOf(ctx context.Context) (lease.Key, error) {
	k, _ := ctx.Value(workerKey{}).(lease.Key)
	if k == "" {
		return "", fmt.Errorf("a worker shows its key: %w", auth.ErrUnauthenticated)
	}
	return k, nil
}

// Attach implements dvxv1.WorkerServiceServer.
func (w *workerService) Attach(ctx context.Context, req *dvxv1.AttachRequest) (*dvxv1.AttachResponse, error) {
	if v := req.GetVersion(); v != workerVersion {
		return nil, fmt.Errorf("the worker speaks version %d, this daemon %d; both must be of one release: %w", v, workerVersion, fs.ErrInvalid)
	}
	who, err := w.who.Prove(ctx, req.GetProof())
	switch {
	case errors.Is(err, auth.ErrUnauthenticated):
		return nil, err
	case err != nil: // who could say it does not answer: the worker asks again
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	key, err := w.board.Admit(who)
	if err != nil {
		return nil, err
	}
	config, err := repo.EncodeConfig(w.s.opts.Store.Config())
	if err != nil {
		return nil, fmt.Errorf("admit worker: %w", err)
	}
	return &dvxv1.AttachResponse{Key: string(key), Config: config}, nil
}

// Take implements dvxv1.WorkerServiceServer.
func (w *workerService) Take(ctx context.Context, req *dvxv1.TakeRequest) (*dvxv1.TakeResponse, error) {
	k, err := workerOf(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, takeWait)
	defer cancel()
	leases, err := w.board.Take(ctx, k, int(min(req.GetCount(), leasesMax)))
	if err != nil {
		return nil, err
	}
	resp := &dvxv1.TakeResponse{}
	for _, l := range leases {
		b, err := json.Marshal(l.Task)
		if err != nil {
			return nil, fmt.Errorf("lease %d: %w", l.Token, err)
		}
		resp.Leases = append(resp.Leases, &dvxv1.Lease{Token: l.Token, Task: b})
	}
	return resp, nil
}

// Beat implements dvxv1.WorkerServiceServer.
func (w *workerService) Beat(ctx context.Context, req *dvxv1.BeatRequest) (*dvxv1.BeatResponse, error) {
	k, err := workerOf(ctx)
	if err != nil {
		return nil, err
	}
	ended, leave, err := w.board.Beat(k, req.GetTokens())
	return &dvxv1.BeatResponse{Ended: ended, Leave: leave}, err
}

// Report implements dvxv1.WorkerServiceServer.
func (w *workerService) Report(ctx context.Context, req *dvxv1.ReportRequest) (*dvxv1.ReportResponse, error) {
	k, err := workerOf(ctx)
	if err != nil {
		return nil, err
	}
	var r task.Result
	if err := json.Unmarshal(req.GetResult(), &r); err != nil {
		return nil, fmt.Errorf("result of lease %d: %s: %w", req.GetToken(), err.Error(), fs.ErrInvalid)
	}
	return &dvxv1.ReportResponse{}, w.board.Report(ctx, k, req.GetToken(), r, req.GetFailure())
}

// ReadLeased implements dvxv1.WorkerServiceServer.
func (w *workerService) ReadLeased(req *dvxv1.ReadLeasedRequest, stream grpc.ServerStreamingServer[dvxv1.ReadLeasedResponse]) error {
	ctx := stream.Context()
	k, err := workerOf(ctx)
	if err != nil {
		return err
	}
	if len(req.GetChunks()) > chunksMax {
		return fmt.Errorf("%d chunks asked for at once, at most %d: %w", len(req.GetChunks()), chunksMax, fs.ErrInvalid)
	}
	for i, ref := range req.GetChunks() {
		id, err := idFrom(ref.GetId())
		if err != nil {
			return err
		}
		kind, err := kindFrom(ref.GetKind())
		if err != nil {
			return err
		}
		b, err := w.board.Read(ctx, k, req.GetToken(), kind, chunk.ID(id))
		if err != nil {
			return err
		}
		for last := false; !last; {
			n := min(len(b), pieceSize)
			last = n == len(b)
			if err := stream.Send(&dvxv1.ReadLeasedResponse{Index: uint32(i), Data: b[:n], Last: last}); err != nil { //nolint:gosec // at most chunksMax
				return err
			}
			b = b[n:]
		}
	}
	return nil
}

// kindFrom reads a kind of chunk from the wire.
func kindFrom(n uint32) (chunk.Kind, error) {
	kind := chunk.Kind(n) //nolint:gosec // compared on the next line
	if !kind.Valid() || uint32(kind) != n {
		return 0, fmt.Errorf("chunk kind %d: %w", n, fs.ErrInvalid)
	}
	return kind, nil
}

// WriteLeased implements dvxv1.WorkerServiceServer.
func (w *workerService) WriteLeased(stream grpc.ClientStreamingServer[dvxv1.WriteLeasedRequest, dvxv1.WriteLeasedResponse]) error {
	ctx := stream.Context()
	k, err := workerOf(ctx)
	if err != nil {
		return err
	}
	var (
		resp  dvxv1.WriteLeasedResponse
		token uint64
		kind  chunk.Kind
		buf   []byte
	)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) && len(buf) == 0 {
			return stream.SendAndClose(&resp)
		}
		if err != nil {
			return err
		}
		if token == 0 {
			token = m.GetToken()
		}
		if len(buf) == 0 {
			if kind, err = kindFrom(m.GetKind()); err != nil {
				return err
			}
		}
		if err := chunk.CheckSize(kind, len(buf)+len(m.GetData())); err != nil {
			return err
		}
		if buf = append(buf, m.GetData()...); !m.GetLast() {
			continue
		}
		if len(resp.Ids) == writtenMax {
			return fmt.Errorf("more than %d chunks in one call: %w", writtenMax, fs.ErrInvalid)
		}
		id, err := w.board.Write(ctx, k, token, kind, buf)
		if err != nil {
			return err
		}
		resp.Ids = append(resp.Ids, id[:])
		buf = buf[:0]
	}
}
