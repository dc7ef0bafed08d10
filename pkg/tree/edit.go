package tree

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// EditOp says what an [Edit] does.
type EditOp uint8

// The kinds of edit.
const (
	Put       EditOp = iota + 1 // make Entry the file, link or directory at Path
	Delete                      // remove the file or link at Path, if there is one
	DeleteDir                   // remove the directory at Path with everything below it, if there is one
	Mark                        // give the directory at Path the Marker, nil for none
	MakeDir                     // make an empty directory at Path with Entry's marker and Attrs, unless there is a directory
)

// Edit is one change that [Apply] makes. A file and a directory of one name
// may both exist; Op and Entry.Kind say which is meant.
type Edit struct {
	Op     EditOp
	Path   string  // names joined by "/", see [CheckPath]
	Entry  Entry   // of Put; its Name is not looked at
	Marker *Marker // of Mark

	// SetAttrs says that the Attrs (and of a directory the marker) which the
	// edit carries replace the present ones even where the content does not
	// change. Without it an entry of equal content keeps its Attrs, and so do
	// the entries of equal content in a directory that Put replaces.
	SetAttrs bool
}

// dirEdit holds the edits of one directory by key.
type dirEdit map[string]*keyEdit

// keyEdit is what a sequence of edits makes of one key. For a directory it
// takes effect in this order: op, made, mark, inner.
type keyEdit struct {
	name     string
	op       EditOp // Put, Delete, DeleteDir, or 0 to start from what is there
	entry    Entry
	setAttrs bool
	made     bool // by MakeDir: stays though empty
	madeWith Attrs
	mark     bool
	marker   *Marker
	markSet  bool // the marker's Attrs replace equal content's too
	inner    dirEdit
	below    func() (*itemEdits, error) // instead of inner, if they come one by one
}

// plan sorts a sequence of edits into a tree of directories. Of edits that
// contradict each other the later one holds.
func plan(edits []Edit) (dirEdit, error) {
	root := dirEdit{}
	for i := range edits {
		if err := root.include(&edits[i]); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func (d dirEdit) include(e *Edit) error {
	names, isDir, err := e.place()
	if err != nil {
		return err
	}
	last := len(names) - 1
	for _, name := range names[:last] {
		k := d.at(name, true)
		if k.inner == nil {
			k.inner = dirEdit{}
		}
		d = k.inner
	}
	return d.at(names[last], isDir).include(e)
}

// place returns the names of the edit's path, and whether it is about a
// directory.
func (e *Edit) place() (names []string, isDir bool, err error) {
	if names, err = splitPath(e.Path); err != nil {
		return nil, false, err
	}
	isDir = e.Op == DeleteDir || e.Op == Mark || e.Op == MakeDir || (e.Op == Put && e.Entry.Kind == Dir)
	if !isDir && strings.HasSuffix(e.Path, "/") {
		return nil, false, fmt.Errorf("path %.200q: names a directory: %w", e.Path, fs.ErrInvalid)
	}
	return names, isDir, nil
}

// include adds an edit of the key to those before.
func (k *keyEdit) include(e *Edit) (err error) {
	switch e.Op {
	case Put:
		*k = keyEdit{name: k.name, op: Put, entry: e.Entry, setAttrs: e.SetAttrs}
		k.entry.Name = k.name
		err = CheckEntry(k.entry)
	case Delete, DeleteDir:
		*k = keyEdit{name: k.name, op: e.Op}
	case Mark:
		k.mark, k.marker, k.markSet = true, e.Marker, e.SetAttrs
		err = CheckEntry(Entry{Name: k.name, Kind: Dir, Dir: placeholder(), Marker: e.Marker})
	case MakeDir:
		k.made, k.madeWith = true, e.Entry.Attrs
		if e.Entry.Marker != nil {
			k.mark, k.marker, k.markSet = true, e.Entry.Marker, e.SetAttrs
		}
		err = CheckEntry(Entry{Name: k.name, Kind: Dir, Dir: placeholder(), Marker: e.Entry.Marker, Attrs: e.Entry.Attrs})
	default:
		err = fmt.Errorf("unknown edit %d: %w", e.Op, fs.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("path %.200q: %w", e.Path, err)
	}
	return nil
}

// at returns the edit of a key, a new one if there is none yet.
func (d dirEdit) at(name string, isDir bool) *keyEdit {
	key := name
	if isDir {
		key += "/"
	}
	k := d[key]
	if k == nil {
		k = &keyEdit{name: name}
		d[key] = k
	}
	return k
}

// edits opens the edits of the directory's own keys.
func (k *keyEdit) edits() (*itemEdits, error) {
	if k.below != nil {
		return k.below()
	}
	return k.inner.sorted(), nil
}

// placeholder returns a Root that passes the checks of an entry's form.
func placeholder() Root { return Root{ID: emptyID, Content: ContentID(emptyID)} }

// itemEdit changes one item of a level: put replaces it, and nil removes it;
// at level 0 user says how, given what is there.
type itemEdit struct {
	key  string
	put  *item
	user *keyEdit
}

// itemEdits hands out the edits of one level in order of key.
type itemEdits struct {
	head *itemEdit // the next one, nil at the end
	pull func() (*itemEdit, error)
}

// openEdits returns the edits that pull returns, up to the first nil.
func openEdits(pull func() (*itemEdit, error)) (*itemEdits, error) {
	e := &itemEdits{pull: pull}
	return e, e.advance()
}

func (e *itemEdits) advance() (err error) {
	e.head, err = e.pull()
	return err
}

// listed returns edits that are in memory and in order.
func listed(edits []itemEdit) *itemEdits {
	e := &itemEdits{pull: func() (*itemEdit, error) {
		if len(edits) == 0 {
			return nil, nil
		}
		head := &edits[0]
		edits = edits[1:]
		return head, nil
	}}
	_ = e.advance() // never fails
	return e
}

// sorted returns the directory's edits in order of key.
func (d dirEdit) sorted() *itemEdits {
	edits := make([]itemEdit, 0, len(d))
	for key, k := range d {
		edits = append(edits, itemEdit{key: key, user: k})
	}
	slices.SortFunc(edits, func(a, b itemEdit) int { return cmp.Compare(a.key, b.key) })
	return listed(edits)
}
