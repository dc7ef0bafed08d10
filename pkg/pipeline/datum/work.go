package datum

import (
	"encoding/json"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Work returns the complete description of the run of a valid spec on a
// datum: what its memo key covers. rt is what the runner says would execute
// the expanded transform, code the content ID of the code tree (zero without),
// platform as in "linux/amd64". It is a pure function; the table of
// package spec says of every field whether it plays a part.
func Work(s spec.Spec, rt memo.Runtime, code tree.ContentID, platform string, d Datum) memo.Work {
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
		Batch:    s.Datum.Batch,
	}
	w.Inputs = d.Visible()
	return w
}

// Visible returns what user code can see of the inputs: the part of the work
// in which the datums of a job differ.
func (d Datum) Visible() []memo.Input {
	all := make([]memo.Input, len(d.Inputs))
	for i, in := range d.Inputs {
		all[i] = workOn(in)
	}
	return all
}

// workOn returns what user code can see of an input.
func workOn(in task.Input) memo.Input {
	out := memo.Input{Name: in.Name, Mode: string(in.Mode), Items: make([]memo.Item, len(in.Items))}
	if in.Value != "" {
		out.Mode = "value=" + in.Value
	}
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

// Task returns the task that runs a datum for the given attempt, from 1. s is
// the spec in the datum's setting, with the datum's values as parameters (see
// [Values]). It fails if the spec is not valid.
func Task(s spec.Spec, code tree.Root, d Datum, key memo.Key, attempt int) (task.Task, error) {
	x, err := s.Expand()
	if err != nil {
		return task.Task{}, err
	}
	k := task.Task{
		Key: key, Pipeline: s.Pipeline, Requests: s.Requests, Limits: s.Limits, Attempt: attempt, Transform: x, Params: s.Parameters, Code: code, Inputs: d.Inputs, Timeout: s.DatumTimeout(),
		RetryOn: s.Datum.RetryOn, MaxOutput: s.DatumMaxOutput(),
		Batch: s.Datum.Batch, SetSize: s.Datum.SetSize,
	}
	if k.Batch {
		if k.Program, err = programOf(k); err != nil {
			return task.Task{}, err
		}
	}
	return k, nil
}

// programOf returns a digest of all that a process of the task's program is
// started with.
func programOf(k task.Task) (chunk.ID, error) {
	b, err := json.Marshal([]any{k.Transform, k.Params, k.Code.Content, k.SetSize})
	if err != nil {
		return chunk.ID{}, fmt.Errorf("describe program: %w", err)
	}
	return chunk.Data.Sum(b), nil
}
