package pipeline

import (
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// WorkOf returns the complete description of the run of a valid spec on a
// datum: what its memo key covers. rt is what the runner says would execute
// the expanded transform, code the content ID of the code tree (zero without),
// platform as in "linux/amd64". It is a pure function; the table of
// package spec says of every field whether it plays a part.
func WorkOf(s spec.Spec, rt memo.Runtime, code tree.ContentID, platform string, d Datum) memo.Work {
	t, _ := s.Expand() // valid, so it expands
	w := memo.Work{
		ABI:      memo.ABI,
		Salt:     s.Reprocess,
		Platform: platform,
		Runtime:  rt,
		Command:  t.Cmd,
		Stdin:    t.Stdin,
		Env:      t.Env,
		Params:   s.Parameters,
		Dir:      t.WorkingDir,
		Code:     code,
	}
	for _, in := range d.Inputs {
		w.Inputs = append(w.Inputs, in.work())
	}
	return w
}

// work returns what user code can see of an input.
func (in DatumInput) work() memo.Input {
	out := memo.Input{Name: in.Name, Items: make([]memo.Item, len(in.Items))}
	for i, it := range in.Items {
		item := memo.Item{Path: it.Path, Kind: it.Entry.Kind}
		if it.Entry.Kind == tree.Dir {
			item.Dir = it.Entry.Dir.Content
		} else {
			item.Exec, item.Content = it.Entry.Exec, it.Entry.Content
		}
		out.Items[i] = item
	}
	return out
}

// TaskOf returns the task that runs a datum for the given attempt, from 1. It
// fails if the version's spec is not valid.
func TaskOf(v engine.Version, d Datum, key memo.Key, attempt int) (task.Task, error) {
	x, err := v.Spec.Expand()
	if err != nil {
		return task.Task{}, err
	}
	out := task.Task{
		Key: key, Attempt: attempt, Transform: x, Params: v.Spec.Parameters, Code: v.Code, Timeout: v.Spec.DatumTimeout(),
	}
	for _, in := range d.Inputs {
		out.Inputs = append(out.Inputs, task.Input{Name: in.Name, URL: in.url(), Items: in.Items})
	}
	return out, nil
}

// url names what an input selects by its content alone, so that a program that
// reads it does not see where the content comes from: the content ID of a
// directory, the ID of a file's bytes. It is empty for an input
// of several items.
func (in DatumInput) url() string {
	if len(in.Items) != 1 {
		return ""
	}
	e := in.Items[0].Entry
	if e.Kind == tree.Dir {
		return "dvx://content/" + e.Dir.Content.String()
	}
	return "dvx://content/" + e.Content.ID.String()
}
