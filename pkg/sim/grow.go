package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// emits is what user code emits on a content, by name: some contents lead to
// others, up to three steps away, and some lead back to themselves.
func (s *stage) emits(content string) map[string]string {
	switch {
	case !s.grow:
		return nil
	case content == "loop":
		return map[string]string{"grow:loop": "loop"}
	case strings.HasSuffix(content, "2") || strings.HasSuffix(content, "2+"):
		return map[string]string{"grow:" + content: content + "+"}
	case strings.HasSuffix(content, "+") || strings.HasSuffix(content, "4"):
		return map[string]string{"grow:loop": "loop"}
	}
	return nil
}

// closure returns files with all that follows from them.
func (s *stage) closure(files map[string]string) map[string]string {
	all := maps.Clone(files)
	for more := slices.Sorted(maps.Values(files)); len(more) > 0; more = more[1:] {
		for name, content := range s.emits(more[0]) {
			if _, ok := all[name]; !ok {
				all[name] = content
				more = append(more, content)
			}
		}
	}
	return all
}

// grow lists the datums that datums of a job emitted.
func (w *world) grow(e engine.Grow) {
	if w.happens(w.faults.EffectLost) {
		w.deliver(w.delay(time.Second), engine.Grown{Job: e.Job.ID, Epoch: e.Epoch, Level: e.Level, Err: errModel, Final: w.happens(w.faults.Final)})
		return
	}
	s := w.stage(e.Job.Head)
	answer := engine.Grown{Job: e.Job.ID, Epoch: e.Epoch, Level: e.Level}
	tasks := map[memo.Key]chore{}
	for _, o := range e.Of {
		emitted := s.emits(w.contents[o.Key])
		for _, name := range slices.Sorted(maps.Keys(emitted)) {
			x := engine.Emitted{From: o.Identity, Item: engine.Item{Identity: name, Key: w.keyOf(e.Job.Head, name, emitted[name])}}
			if out, ok := w.known(x.Key); ok {
				x.Hit, x.Output = true, outputRoot(out)
			} else {
				tasks[x.Key] = chore{stage: s, content: emitted[name], version: s.outputVersion}
			}
			answer.Items = append(answer.Items, x)
		}
	}
	w.deliverWith(w.delay(time.Second), answer, func() { maps.Copy(w.daemon.tasks, tasks) })
}
