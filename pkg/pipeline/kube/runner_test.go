package kube

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	authnv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// fakeAPI is a cluster without nodes: what becomes of a Pod is the test's to
// say.
type fakeAPI struct {
	mu      sync.Mutex
	pods    map[string]*corev1.Pod
	made    int
	refuse  error
	away    error                                 // answer to whoever looks at a Pod
	tokens  map[string]string                     // token → name of a Pod
	started func(p *corev1.Pod) func(*corev1.Pod) // what a new Pod becomes at once
}

func (f *fakeAPI) CreatePod(_ context.Context, p *corev1.Pod) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	f.made++
	p = p.DeepCopy()
	p.UID = types.UID(fmt.Sprintf("uid-%d", f.made))
	if f.started != nil {
		f.started(p)(p)
	}
	f.pods[p.Name] = p
	return nil
}

func (f *fakeAPI) GetPod(_ context.Context, name string) (*corev1.Pod, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return nil, f.away
	}
	if p := f.pods[name]; p != nil {
		return p.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, name)
}

func (f *fakeAPI) ListPods(_ context.Context, label, value string) ([]corev1.Pod, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []corev1.Pod
	for _, p := range f.pods {
		if p.Labels[label] == value {
			list = append(list, *p.DeepCopy())
		}
	}
	return list, nil
}

func (f *fakeAPI) DeletePod(_ context.Context, name string, uid types.UID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.pods[name]; p != nil && p.UID == uid {
		delete(f.pods, name)
	}
	return nil
}

func (f *fakeAPI) ReviewToken(_ context.Context, token, audience string) (authnv1.TokenReviewStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name, ok := f.tokens[token]
	if !ok || audience != Audience {
		return authnv1.TokenReviewStatus{}, nil
	}
	return authnv1.TokenReviewStatus{Authenticated: true, User: authnv1.UserInfo{Extra: map[string]authnv1.ExtraValue{
		podNameExtra: {name}, podUIDExtra: {strings.TrimPrefix(token, name+"/")},
	}}}, nil
}

// set changes every Pod.
func (f *fakeAPI) set(change func(*corev1.Pod)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pods {
		change(p)
	}
}

// count returns how many Pods were made.
func (f *fakeAPI) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made
}

func (f *fakeAPI) uids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for _, p := range f.pods {
		ids = append(ids, string(p.UID))
	}
	slices.Sort(ids)
	return ids
}

// rig is a runner over a fake cluster that knows one image already.
type rig struct {
	*testing.T
	api   *fakeAPI
	board *lease.Board
	*Runner
}

const knownDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

func newRig(t *testing.T) *rig {
	t.Helper()
	board, err := lease.New(lease.Options{Now: time.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	api := &fakeAPI{pods: map[string]*corev1.Pod{}, tokens: map[string]string{}}
	images := &Images{known: map[string]Image{"127.0.0.1:1/app@" + knownDigest: {Digest: knownDigest, Ref: "127.0.0.1:1/app@" + knownDigest}}}
	r, err := New(Options{
		API: api, Board: board, Images: images, Pods: 3, Now: time.Now, Rand: rand.Reader, Log: slog.New(slog.DiscardHandler),
		Pod: PodOptions{Namespace: "n", Daemon: "store", AgentImage: "dvxd", Server: "h:1", Pin: "00"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, api, board, r}
}

// run offers n tasks and returns where their errors come.
func (r *rig) run(n int) <-chan error {
	done := make(chan error, n)
	for range n {
		go func() {
			t := task.Task{Pipeline: "count", Transform: spec.Transform{Image: "127.0.0.1:1/app:v1", Cmd: []string{"x"}}, Runtime: memo.Runtime{Image: knownDigest}}
			_, err := r.Runner.Run(r.Context(), t, &chunk.Mem{})
			done <- err
		}()
	}
	return done
}

// admit lets the workers of all Pods in.
func (r *rig) admit() []lease.Key {
	r.Helper()
	var keys []lease.Key
	r.api.set(func(p *corev1.Pod) {
		k, err := r.board.Admit(lease.Worker{ID: string(p.UID), Pool: lease.Pool(p.Labels[LabelPool])})
		if err != nil {
			r.Error(err)
		}
		p.Status.Phase = corev1.PodRunning
		keys = append(keys, k)
	})
	return keys
}

// work lets a worker do one task.
func (r *rig) work(k lease.Key) {
	r.Helper()
	leases, err := r.board.Take(r.Context(), k, 1)
	if err != nil || len(leases) != 1 {
		r.Fatalf("took %v, %v", leases, err)
	}
	if err := r.board.Report(r.Context(), k, leases[0].Token, task.Result{Outcome: task.Failed}, ""); err != nil {
		r.Fatal(err)
	}
}

// keep runs a test with the runner's loop, in a time of its own.
func keep(t *testing.T, do func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Keep(ctx) }()
		do(r)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestPoolGrowsWithItsQueueAndGoes(t *testing.T) {
	keep(t, func(r *rig) {
		done := r.run(2)
		time.Sleep(5 * time.Second)
		if ids := r.api.uids(); len(ids) != 2 {
			t.Errorf("2 tasks have Pods %v", ids)
		}
		more := r.run(8)
		time.Sleep(5 * time.Second)
		if ids := r.api.uids(); len(ids) != 3 {
			t.Errorf("10 tasks have Pods %v, at most 3 are allowed", ids)
		}
		k := r.admit()[0]
		for range 10 {
			r.work(k)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		for range 8 {
			if err := <-more; err != nil {
				t.Error(err)
			}
		}
		time.Sleep(30 * time.Second)
		if ids := r.api.uids(); len(ids) != 3 {
			t.Errorf("Pods went before their time: %v", ids)
		}
		time.Sleep(60 * time.Second)
		if ids := r.api.uids(); len(ids) != 0 || r.api.count() != 3 {
			t.Errorf("idle, there are Pods %v, %d were made", ids, r.api.count())
		}
	})
}

// A Pod that ends while it works fails its task in words, and another Pod takes
// its place.
func TestLostPod(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(r *rig)
		want string
	}{
		{"evicted", func(r *rig) {
			r.api.set(func(p *corev1.Pod) {
				p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "low on memory"
			})
		}, "was evicted: low on memory"},
		{"gone", func(r *rig) {
			r.api.mu.Lock()
			defer r.api.mu.Unlock()
			clear(r.api.pods)
		}, "Pod was deleted"},
		{"silent", func(*rig) { time.Sleep(2 * lease.Patience) }, "no sign of life"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keep(t, func(r *rig) {
				done := r.run(1)
				time.Sleep(5 * time.Second)
				k := r.admit()[0]
				if _, err := r.board.Take(t.Context(), k, 1); err != nil {
					t.Fatal(err)
				}
				tt.lose(r)
				if err := <-done; err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				before := r.api.count()
				again := r.run(1)
				time.Sleep(5 * time.Second)
				if tt.name != "silent" && r.api.count() != before+1 {
					t.Errorf("%d Pods were made after %d", r.api.count(), before)
				}
				r.work(r.admit()[0])
				if err := <-again; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A Pod that is deleted finishes what it has, and takes no more.
func TestDeletedPodDrains(t *testing.T) {
	keep(t, func(r *rig) {
		done := r.run(1)
		time.Sleep(5 * time.Second)
		k := r.admit()[0]
		leases, err := r.board.Take(t.Context(), k, 1)
		if err != nil {
			t.Fatal(err)
		}
		now := metav1.Now()
		r.api.set(func(p *corev1.Pod) { p.DeletionTimestamp = &now })
		time.Sleep(5 * time.Second)
		if _, leave, err := r.board.Beat(k, nil); err != nil || !leave {
			t.Errorf("leave %v, %v", leave, err)
		}
		if err := r.board.Report(t.Context(), k, leases[0].Token, task.Result{Outcome: task.Failed}, ""); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What waiting does not mend ends the tasks, in words; until then it is shown.
func TestHopelessPods(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "x", errors.New("violates PodSecurity"))
	for _, tt := range []struct {
		name string
		set  func(*fakeAPI)
		want string
	}{
		{"no image", func(f *fakeAPI) {
			f.started = func(*corev1.Pod) func(*corev1.Pod) {
				return func(p *corev1.Pod) {
					p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: UserContainer, State: corev1.ContainerState{
						Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "not found"},
					}}}
				}
			}
		}, "can't be pulled: not found"},
		{"refused", func(f *fakeAPI) { f.refuse = forbidden }, "the cluster refuses the worker Pod: pods \"x\" is forbidden: violates PodSecurity"},
		{"agent fails", func(f *fakeAPI) {
			f.started = func(*corev1.Pod) func(*corev1.Pod) {
				return func(p *corev1.Pod) {
					p.Status.Phase = corev1.PodFailed
					p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: AgentContainer, State: corev1.ContainerState{
						Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "no route to host"},
					}}}
				}
			}
		}, "no route to host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keep(t, func(r *rig) {
				tt.set(r.api)
				done := r.run(2)
				time.Sleep(2 * time.Second)
				if said := r.Trouble("count"); !strings.Contains(said, tt.want) {
					t.Errorf("meanwhile the trouble is %q, want %q", said, tt.want)
				}
				for range 2 {
					if err := <-done; err == nil || !strings.Contains(err.Error(), tt.want) {
						t.Errorf("%v, want %q", err, tt.want)
					}
				}
			})
		})
	}
}

func TestUnschedulableWaits(t *testing.T) {
	keep(t, func(r *rig) {
		r.api.started = func(*corev1.Pod) func(*corev1.Pod) {
			return func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available: 1 Insufficient cpu."}}
			}
		}
		done := r.run(1)
		time.Sleep(10 * time.Minute)
		if said := r.Trouble("count"); said != "Pod pending: insufficient cpu" {
			t.Errorf("trouble %q", said)
		}
		r.api.set(func(p *corev1.Pod) { p.Status.Conditions = nil })
		r.work(r.admit()[0])
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if said := r.Trouble("count"); said != "" {
			t.Errorf("trouble %q", said)
		}
	})
}

// Only a token that is bound to a Pod of this daemon that is there proves a
// worker.
func TestProve(t *testing.T) {
	r := newRig(t)
	for name, daemon := range map[string]string{"ours": "store", "theirs": "another"} {
		r.api.pods[name] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{LabelDaemon: daemon, LabelPool: "p"}}}
		r.api.tokens[name+"/uid-"+name] = name
	}
	r.api.tokens["ours/uid-before"] = "ours"
	r.api.tokens["gone/uid-gone"] = "gone"
	w, err := r.Prove(t.Context(), "ours/uid-ours")
	if err != nil || w != (lease.Worker{ID: "uid-ours", Pool: "p"}) {
		t.Errorf("%+v, %v", w, err)
	}
	for _, token := range []string{"theirs/uid-theirs", "ours/uid-before", "gone/uid-gone", "unknown", ""} {
		if w, err := r.Prove(t.Context(), token); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("token %q: %+v, %v", token, w, err)
		}
	}
	r.api.away = errors.New("the API server starts again")
	if _, err := r.Prove(t.Context(), "ours/uid-ours"); !errors.Is(err, r.api.away) || errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a cluster that does not answer shows nobody false: %v", err)
	}
}

// TestImages: the digest decides, whatever a tag says.
func TestImages(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	push := func(tag, word string) {
		t.Helper()
		img, err := mutate.Config(empty.Image, v1.Config{Entrypoint: []string{"/run", word}, Cmd: []string{"more"}, Env: []string{"A=b", "HOME=/x", "DVX_IN=y"}, WorkingDir: "/app"})
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewTag(host + "/app:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
	}
	m := &Images{}
	digest := func(tag string) string {
		t.Helper()
		i, err := m.Resolve(t.Context(), host+"/app:"+tag)
		if err != nil {
			t.Fatal(err)
		}
		return i.Digest
	}
	push("v1", "one")
	push("same", "one")
	first := digest("v1")
	if digest("same") != first {
		t.Error("one image under two tags has two digests")
	}
	push("v1", "two")
	if digest("v1") == first {
		t.Error("the tag moved, and the digest did not")
	}
	i, err := m.At(t.Context(), host+"/app:v1", first)
	if err != nil || i.Digest != first || i.Ref != host+"/app@"+first {
		t.Fatalf("%+v, %v", i, err)
	}
	filled := i.Fill(spec.Transform{Env: map[string]string{"B": "c"}})
	if got := strings.Join(filled.Cmd, " "); got != "/run one more" || len(filled.Env) != 2 || filled.Env["A"] != "b" || i.WorkingDir != "/app" {
		t.Errorf("%+v in %s", filled, i.WorkingDir)
	}
	if got := i.Fill(spec.Transform{Cmd: []string{"own"}}).Cmd; len(got) != 1 {
		t.Errorf("the spec's command became %v", got)
	}
	for _, ref := range []string{host + "/app:none", host + "/none:v1", "a b", host + "/app@sha256:" + strings.Repeat("0", 64)} {
		if i, err := m.Resolve(t.Context(), ref); err == nil {
			t.Errorf("%s is %+v", ref, i)
		}
	}
	r := newRig(t)
	r.o.Images = m
	rt, err := r.Runtime(t.Context(), spec.Transform{Image: host + "/app:same"}, tree.Root{}, nil)
	if err != nil || rt.Image != first || rt.Host != "" {
		t.Errorf("%+v, %v", rt, err)
	}
}
