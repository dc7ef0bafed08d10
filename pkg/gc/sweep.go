package gc

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// orphans lists the objects that began below the floor of root and that root
// does not name, without those that are buried already. Since a later root can
// name nothing new that began below that floor, they are garbage for good. The
// listing must come after the swap that set the floor.
func (c *collector) orphans(ctx context.Context, root *repo.Root, buried map[string]bool) ([]object, error) {
	x, err := c.index(ctx, root)
	if err != nil {
		return nil, err
	}
	floor := max(root.Floor, c.floor)
	var found []object
	for _, prefix := range []string{pack.PackPrefix, pack.SegmentPrefix, "memo/", "history/"} {
		for info, err := range c.d.Objects().List(ctx, prefix, "") {
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", prefix, err)
			}
			gen, ok := genOf(info.Key)
			if ok && gen >= floor && (prefix == pack.PackPrefix || prefix == pack.SegmentPrefix) {
				break // names are sorted by generation
			}
			if !ok || gen >= floor || buried[info.Key] || x.names[info.Key] || len(found) == listEntriesMax {
				continue
			}
			found = append(found, object{info.Key, info.Size})
		}
	}
	return found, nil
}

// genOf returns the generation of the root at which the writing of an object
// began; false if its name does not say.
func genOf(key string) (uint64, bool) {
	if _, gen, err := pack.ParseKey(key); err == nil {
		return gen, true
	}
	return repo.AttachedGen(key)
}

// count is a number of objects with their bytes.
type count struct{ n, bytes int64 }

// graves returns the keys in the root's graveyard, and how much that is.
func (c *collector) graves(ctx context.Context, root *repo.Root) (map[string]bool, count, error) {
	keys := map[string]bool{}
	var all count
	for _, g := range root.Graveyard {
		for _, name := range []string{g.List, orphansOf(g.List)} {
			l, err := loadList(ctx, c.d.Objects(), name)
			if err != nil && !isAbsent(err) {
				return nil, count{}, err
			}
			for _, o := range l.objects {
				if !keys[o.key] {
					all.n++
					all.bytes += o.size
				}
				keys[o.key] = true
			}
		}
	}
	return keys, all, nil
}

// orphansOf returns the key of the list of orphans that belongs to a list of
// what was buried.
func orphansOf(list string) string { return path.Dir(list) + "/orphans" }

// listOrphans lists the orphans below the floor of the root that the swap made.
func (c *collector) listOrphans(ctx context.Context, root *repo.Root) error {
	c.o.Progress(Progress{Phase: "list"})
	buried, _, err := c.graves(ctx, root)
	if err != nil {
		return err
	}
	found := c.early
	if !c.o.rules.listFirst {
		if found, err = c.orphans(ctx, root, buried); err != nil {
			return err
		}
	}
	c.countOrphans(found)
	if len(found) == 0 {
		return nil
	}
	return putList(ctx, c.d.Objects(), orphansOf(c.buried.key), list{time: c.now(), objects: found})
}

// tidy deletes old copies of roots, the objects of sessions that can't publish
// any more, and records of collections that are as old as the copies.
func (c *collector) tidy(ctx context.Context, root *repo.Root) error {
	copies, err := c.rootCopies(ctx, root)
	if err != nil {
		return err
	}
	var keys []string
	for _, r := range copies.old {
		keys = append(keys, r.key)
	}
	c.rep.OldRoots = int64(len(keys))
	err = c.eachSession(ctx, func(_ string, start uint64, info objstore.Info) error {
		if start < root.Floor {
			keys = append(keys, info.Key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	records, err := c.oldRecords(ctx, root)
	if err != nil {
		return err
	}
	notes, err := c.purged(ctx, copies)
	if err != nil {
		return err
	}
	if err := deleteAll(ctx, c.d.Objects(), append(keys, records...), c.o.Workers, func(string) {}); err != nil {
		return err
	}
	return deleteAll(ctx, c.d.Objects(), notes, c.o.Workers, func(string) {}) // only after the copies that they are about
}

// oldRecords lists the lists and reports of past collections that are not
// needed any more.
func (c *collector) oldRecords(ctx context.Context, root *repo.Root) ([]string, error) {
	needed := map[string]bool{}
	for _, g := range root.Graveyard {
		needed[g.List], needed[orphansOf(g.List)] = true, true
	}
	from := c.now().Add(-max(0, c.o.KeepRoots))
	var keys []string
	for info, err := range c.d.Objects().List(ctx, FolderPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list records: %w", err)
		}
		folder := strings.TrimPrefix(path.Dir(info.Key), FolderPrefix)
		start, err := pack.ParseSession(folder)
		if err != nil || needed[info.Key] || start >= root.Floor && folder != c.session.Name {
			continue
		}
		isList := path.Base(info.Key) != "report.json"
		if isList || !info.ModTime.IsZero() && info.ModTime.Before(from) {
			keys = append(keys, info.Key)
		}
	}
	return keys, nil
}

// forgetPrefix is where purge says from which generation on roots are kept.
const forgetPrefix = FolderPrefix + "forget/"

// forgotten returns the generation below which copies of roots are not kept
// whatever their age, and the keys of the objects that say so.
func forgotten(ctx context.Context, objects objstore.Store) (least uint64, keys []string, err error) {
	for info, err := range objects.List(ctx, forgetPrefix, "") {
		if err != nil {
			return 0, nil, fmt.Errorf("list %s: %w", forgetPrefix, err)
		}
		if n, err := strconv.ParseUint(strings.TrimPrefix(info.Key, forgetPrefix), 16, 64); err == nil {
			least = max(least, n)
			keys = append(keys, info.Key)
		}
	}
	return least, keys, nil
}

// purged returns the notes of purges that are of no more use: this collection
// took the last dead chunk from the packs of before, and of the copies of roots
// of before the last go.
func (c *collector) purged(ctx context.Context, copies retained) ([]string, error) {
	least, keys, err := forgotten(ctx, c.d.Objects())
	if err != nil || least != c.o.scrub || c.floor < least || c.plan.full() {
		return nil, err
	}
	for _, r := range copies.held {
		if r.gen < least {
			return nil, nil
		}
	}
	return keys, nil
}
