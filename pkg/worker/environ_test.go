package worker

import (
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

func TestEnvironmentIsExactlyTheDeclaredOne(t *testing.T) {
	t.Setenv("DVX_SECRET_OF_THE_DAEMON", "leak")
	key := memo.Key(chunk.Data.Sum([]byte("work")))
	id := chunk.ID{0xab}
	cases := []struct {
		name    string
		env     map[string]string
		inputs  []task.Input
		changed map[string]string // beside the fixed ones
	}{
		{"nothing declared", nil, nil, nil},
		{"declared", map[string]string{"A": "1", "EMPTY": ""}, nil, map[string]string{"A": "1", "EMPTY": ""}},
		{
			"overrides",
			map[string]string{"PATH": "/opt/bin", "HOME": "/h", "DVX_OUT": "x"},
			nil,
			map[string]string{"PATH": "/opt/bin", "HOME": "/h", "DVX_OUT": "x"},
		},
		{
			"inputs", nil,
			[]task.Input{{Name: "raw-images.v2", Items: []task.Item{{Path: "a", Entry: tree.Entry{Kind: tree.File, Content: chunk.Content{ID: id}}}}}, {Name: "b"}},
			map[string]string{"DVX_INPUT_RAW_IMAGES_V2_URL": "dvx://content/" + id.String(), "DVX_INPUT_B_URL": ""},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorker(t, program(t, func(string) {}))
			want := map[string]string{
				"PATH": "/bin", "HOME": w.path("tmp"), "TMPDIR": w.path("tmp"), "LANG": "C.UTF-8", "TZ": "UTC",
				"DVX_IN": w.path("in"), "DVX_OUT": w.path("out"), "DVX_CODE": w.path("code"),
				"DVX_DATUM_ID": key.String(), "DVX_ATTEMPT_KEY": attemptKey(key),
			}
			for name, value := range c.changed {
				want[name] = value
			}
			k := aTask(c.inputs...)
			k.Key, k.Transform.Env = key, c.env
			env := w.environ(k)
			if !slices.IsSorted(env) || len(env) != len(want) {
				t.Errorf("environment %q", env)
			}
			for _, v := range env {
				name, value, _ := strings.Cut(v, "=")
				if got, ok := want[name]; !ok || got != value {
					t.Errorf("%s=%q, want %q", name, value, got)
				}
			}
		})
	}
}

func TestAttemptKeyBelongsToTheWork(t *testing.T) {
	a, b := memo.Key(chunk.Data.Sum([]byte("a"))), memo.Key(chunk.Data.Sum([]byte("b")))
	again := attemptKey(a)
	if attemptKey(a) == attemptKey(b) || attemptKey(a) != again || len(attemptKey(a)) != 32 {
		t.Errorf("attempt keys %q and %q", attemptKey(a), attemptKey(b))
	}
}
