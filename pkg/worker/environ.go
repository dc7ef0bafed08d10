package worker

import (
	"path/filepath"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// environ returns the whole environment of the program.
func (w *Worker) environ(t task.Task) []string {
	tmp, home := w.tmpFolder(), w.home(t)
	env := map[string]string{
		"PATH": w.opts.Path, "HOME": tmp, "TMPDIR": tmp, "LANG": "C.UTF-8", "TZ": "UTC",
		"DVX_IN": filepath.Join(home.dir, "in"), "DVX_OUT": filepath.Join(home.dir, "out"), "DVX_CODE": home.code.dir,
		"DVX_DATUM_ID": t.Key.String(), "DVX_ATTEMPT_KEY": attemptKey(t.Key),
	}
	if t.Batch { // what differs from datum to datum it is told
		for _, name := range []string{"DVX_OUT", "DVX_DATUM_ID", "DVX_ATTEMPT_KEY"} {
			delete(env, name)
		}
		env["DVX_BATCH"] = "1"
		t.Inputs = nil
	}
	for _, in := range t.Inputs {
		env["DVX_INPUT_"+spec.EnvName(in.Name)+"_URL"] = in.URL()
	}
	for name, value := range t.Params {
		env["DVX_PARAM_"+name] = value
	}
	for name, value := range t.Transform.Env {
		env[name] = value
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// attemptKey is for user code to hand to outside services as an idempotency
// key: all attempts at one piece of work share it.
func attemptKey(k memo.Key) string {
	return chunk.Data.Sum([]byte("attempt " + k.String())).String()[:32]
}
