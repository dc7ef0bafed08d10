package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
)

// late is a store on which one swap of the root is lost on its way, and may
// arrive later.
type late struct {
	objstore.Store
	objects objstore.Store              // below all faults
	arrive  func(context.Context) error // carries out the first swap
}

// Put implements objstore.Store.
func (l *late) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if key == "root" && l.arrive == nil {
		b, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		if err != nil {
			return objstore.Info{}, err
		}
		l.arrive = func(ctx context.Context) error {
			_, err := l.objects.Put(ctx, key, objstore.Bytes(b), c)
			return err
		}
	}
	return l.Store.Put(ctx, key, body, c)
}

// TestUnknownOutcomes loses the answer to a commit's swap, which was applied,
// or was not, or is applied much later, when the operation was settled, or after
// it was repeated. Whatever was said, the store is whole, and the commit is
// there once or not at all, as was said.
func TestUnknownOutcomes(t *testing.T) {
	for _, arrives := range []string{"at once", "never", "later"} {
		for _, then := range []string{"nothing", "settle", "repeat"} {
			t.Run(fmt.Sprintf("%s, then %s", arrives, then), func(t *testing.T) { unknownOutcome(t, arrives, then) })
		}
	}
}

func unknownOutcome(t *testing.T, arrives, then string) {
	ctx := owner(t)
	objects := mem.New(mem.Options{})
	mustPut(t, create(t, objects), "main", "old", "old")
	lost, err := loseSwap(ctx, objects, arrives)
	if !errors.Is(err, repo.ErrUnknown) {
		t.Fatalf("put: %v", err)
	}
	files := map[string]string{"r@main:/old": "old"}
	wanted := map[string]bool{"at once": true, "never": false}[arrives] // is it there?
	d := open(t, objects)
	switch then {
	case "settle":
		out, err := d.Settle(ctx, opOf(1))
		if err != nil {
			t.Fatal(err)
		}
		if out.Applied != wanted {
			t.Errorf("settled as applied: %v", out.Applied)
		}
	case "repeat":
		if _, err := put(ctx, d, opOf(1), "main", "new", "new"); err != nil {
			t.Fatal(err)
		}
		wanted = true
	}
	if arrives == "later" {
		err := lost.arrive(ctx)
		switch then {
		case "nothing": // nobody has looked since
			wanted = err == nil
		default:
			if err == nil {
				t.Errorf("a swap landed after the operation was made certain")
			}
		}
	}
	if wanted {
		files["r@main:/new"] = "new"
	}
	if err := holdsAll(ctx, objects, files); err != nil {
		t.Error(err)
	}
	if _, err := read(ctx, open(t, objects), "r@main:/new"); (err == nil) != wanted {
		t.Errorf("the commit is there: %v, want %v", err == nil, wanted)
	}
}

// loseSwap puts a file whose swap's answer is lost, as are all reads of the
// root after it.
func loseSwap(ctx context.Context, objects *mem.Store, arrives string) (*late, error) {
	sent := false
	reset := fmt.Errorf("connection reset: %w", objstore.ErrUnknownOutcome)
	faulty := fault.New(objects, fault.Options{Plan: func(c fault.Call) fault.Effect {
		switch {
		case c.Key != "root" || c.Kind != fault.Put && !sent:
			return fault.Effect{}
		case c.Kind == fault.Put && !sent:
			sent = true
			return fault.Effect{Err: reset, Apply: arrives == "at once"}
		}
		return fault.Effect{Err: reset}
	}})
	l := &late{Store: faulty, objects: objects}
	o := options(0)
	o.RetryFor = time.Nanosecond
	d, err := repo.OpenDirect(ctx, l, o)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	_, err = put(ctx, d, opOf(1), "main", "new", "new")
	return l, err
}
