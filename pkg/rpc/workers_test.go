package rpc

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// onePod admits one worker by its proof.
type onePod struct{}

func (onePod) Prove(_ context.Context, proof string) (lease.Worker, error) {
	if proof == "a token at a bad time" {
		return lease.Worker{}, fmt.Errorf("review the token: connection refused")
	}
	if proof != "the pod's token" {
		return lease.Worker{}, fmt.Errorf("token of no pod: %w", auth.ErrUnauthenticated)
	}
	return lease.Worker{ID: "pod-1", Pool: "p"}, nil
}

// yard is a daemon with a board, and the store of its tasks.
type yard struct {
	*fixture
	board *lease.Board
	store *chunk.Mem
}

func newYard(t *testing.T) *yard {
	t.Helper()
	board, err := lease.New(lease.Options{Now: time.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureWith(t, denyAll{}, func(o *ServerOptions) { o.Board, o.Workers = board, onePod{} })
	return &yard{f, board, &chunk.Mem{}}
}

func (y *yard) worker(t *testing.T, proof string) *WorkerClient {
	t.Helper()
	w, err := DialWorker(WorkerOptions{Address: "unix:/not/dialed", Proof: func() (string, error) { return proof, nil }, Dial: y.dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// offer offers a task and returns what came of it.
func (y *yard) offer(t *testing.T, k task.Task) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := y.board.Run(t.Context(), "p", k, y.store)
		done <- err
	}()
	return done
}

func takeOne(t *testing.T, w *WorkerClient) lease.Lease {
	t.Helper()
	leases, err := w.Take(t.Context(), 1)
	if err != nil || len(leases) != 1 {
		t.Fatalf("took %v, %v", leases, err)
	}
	return leases[0]
}

func TestWorkerTakesAndReports(t *testing.T) {
	y := newYard(t)
	w := y.worker(t, "the pod's token")
	if _, err := w.Take(t.Context(), 1); !errors.Is(err, fs.ErrPermission) && !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("before it is admitted: %v", err)
	}
	c, err := w.Attach(t.Context())
	if err != nil || !reflect.DeepEqual(c, y.direct.Config()) {
		t.Fatalf("admitted with %+v, %v", c, err)
	}
	big := bytes.Repeat([]byte("0123456789"), 250_000) // of more than one message
	in, err := y.store.Put(t.Context(), chunk.Data, big)
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := y.store.Put(t.Context(), chunk.Data, []byte("of another task"))
	if err != nil {
		t.Fatal(err)
	}
	content := chunk.Content{ID: in, Size: int64(len(big))}
	done := y.offer(t, task.Task{Inputs: []task.Input{{Name: "in", Items: []task.Item{{Path: "f", Entry: tree.Entry{Kind: tree.File, Content: content}}}}}})
	l := takeOne(t, w)
	s := w.Store(l.Token)
	if b, err := s.Get(t.Context(), chunk.Data, in); err != nil || !bytes.Equal(b, big) {
		t.Errorf("%d bytes of the input, %v", len(b), err)
	}
	if _, err := s.Get(t.Context(), chunk.Data, hidden); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a chunk of another task: %v", err)
	}
	id, err := s.Put(t.Context(), chunk.Data, []byte("a line\n"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Get(t.Context(), chunk.Data, id); err != nil || string(b) != "a line\n" {
		t.Errorf("what waits to be sent: %q, %v", b, err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err := y.store.Get(t.Context(), chunk.Data, id); err != nil || string(b) != "a line\n" {
		t.Errorf("what arrived: %q, %v", b, err)
	}
	if ended, leave, err := w.Beat(t.Context(), []uint64{l.Token, 99}); err != nil || leave || !reflect.DeepEqual(ended, []uint64{99}) {
		t.Errorf("ended %v, leave %v, %v", ended, leave, err)
	}
	if err := w.Report(t.Context(), l.Token, task.Result{Outcome: task.Failed, Log: chunk.Content{ID: id, Size: 7}}, ""); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := w.Report(t.Context(), l.Token, task.Result{}, ""); !errors.Is(err, lease.ErrGone) {
		t.Errorf("a second report: %v, want ErrGone", err)
	}
	if _, err := s.Get(t.Context(), chunk.Data, in); !errors.Is(err, lease.ErrGone) {
		t.Errorf("a chunk by a lease that has ended: %v, want ErrGone", err)
	}
}

// Each field of a task and of a result crosses the wire.
func TestTasksCrossTheWireWhole(t *testing.T) {
	y := newYard(t)
	w := y.worker(t, "the pod's token")
	if _, err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want task.Task
	fill(t, reflect.ValueOf(&want).Elem(), 1)
	y.offer(t, want)
	if got := takeOne(t, w).Task; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// fill gives every field a value that is not its zero.
func fill(t *testing.T, v reflect.Value, n int64) {
	t.Helper()
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(n, 0).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n+int64(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), n)
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, n)
		fill(t, value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(float64(n))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(n)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(n))
	default:
		t.Fatalf("no value for a %v", v.Type())
	}
}

func TestWorkersAreRefused(t *testing.T) {
	y := newYard(t)
	if _, err := y.worker(t, "made up").Attach(t.Context()); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a proof of nothing: %v", err)
	}
	if _, err := y.worker(t, "a token at a bad time").Attach(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody can say whose proof it is: %v", err)
	}
	lost := y.worker(t, "")
	lost.o.Proof = func() (string, error) { return "", fs.ErrNotExist }
	if _, err := lost.Attach(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no proof at all: %v", err)
	}
	conn, err := grpc.NewClient("passthrough:///buf", append(y.dial, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = dvxv1.NewWorkerServiceClient(conn).Attach(t.Context(), &dvxv1.AttachRequest{Proof: "the pod's token", Version: workerVersion + 1})
	if err = fromStatus(err); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "one release") {
		t.Errorf("another version: %v", err)
	}
	if _, err := DialWorker(WorkerOptions{Address: "192.0.2.1:7777"}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("in the clear to another machine: %v", err)
	}
	// What opens the store does not open leases, and the other way round.
	w := y.worker(t, "the pod's token")
	if _, err := w.Attach(t.Context()); err != nil {
		t.Fatal(err)
	}
	shown := auth.Key{Access: strings.Repeat("A", 20), Secret: w.key, Principal: "owner"}
	if _, err := Dial(t.Context(), ClientOptions{Address: "passthrough:///buf", Key: shown, Dial: y.dial, Plaintext: true}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a worker's key for the store: %v", err)
	}
	w.key = y.owner.Token()
	if _, err := w.Take(t.Context(), 1); !errors.Is(err, lease.ErrGone) {
		t.Errorf("the owner's key for a lease: %v", err)
	}
}
