package gc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
)

// Limits of a list. What exceeds them is left to the next collection.
const (
	listEntriesMax = 1 << 20
	listSizeMax    = 256 << 20 // bytes
	listMagic      = "dvx gc list 1"
	listContext    = "dvx 2026-11 v1 gc list"
)

// object is an object that is to be deleted.
type object struct {
	key  string
	size int64 // bytes, as far as it was known
}

// list is what a collection has given up: FORMAT.md describes its bytes.
type list struct {
	time    time.Time // when, by the store's clock
	objects []object  // sorted by key
}

// encode returns the bytes of l, whose objects it sorts.
func (l *list) encode() []byte {
	slices.SortFunc(l.objects, func(a, b object) int { return strings.Compare(a.key, b.key) })
	l.objects = slices.CompactFunc(l.objects, func(a, b object) bool { return a.key == b.key })
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%d\n", listMagic, l.time.UnixMilli())
	for _, o := range l.objects {
		fmt.Fprintf(&b, "%d %s\n", o.size, o.key)
	}
	sum := listSum(b.Bytes())
	b.WriteString(sum)
	b.WriteByte('\n')
	return b.Bytes()
}

func listSum(b []byte) string {
	h := blake3.NewDeriveKey(listContext)
	_, _ = h.Write(b) // never fails
	return hex.EncodeToString(h.Sum(nil))
}

// decodeList reads what encode wrote; anything else fails with
// chunk.ErrCorrupt.
func decodeList(b []byte) (list, error) {
	bad := func(what string) (list, error) { return list{}, fmt.Errorf("gc list: %s: %w", what, chunk.ErrCorrupt) }
	const tail = 2*chunk.IDSize + 1
	if len(b) < tail || len(b) > listSizeMax || b[len(b)-1] != '\n' || listSum(b[:len(b)-tail]) != string(b[len(b)-tail:len(b)-1]) {
		return bad("wrong checksum")
	}
	lines := bufio.NewScanner(bytes.NewReader(b[:len(b)-tail]))
	if !lines.Scan() || lines.Text() != listMagic || !lines.Scan() {
		return bad("no magic")
	}
	ms, err := strconv.ParseInt(lines.Text(), 10, 64)
	if err != nil {
		return bad("no time")
	}
	l := list{time: time.UnixMilli(ms).UTC()}
	for lines.Scan() {
		size, key, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 || objstore.CheckKey(key) != nil || len(l.objects) >= listEntriesMax {
			return bad(fmt.Sprintf("entry %.80q", lines.Text()))
		}
		l.objects = append(l.objects, object{key, n})
	}
	if again := l.encode(); !bytes.Equal(again, b) {
		return bad("not in canonical form")
	}
	return l, lines.Err()
}

// loadList reads a list. One that does not exist has no objects.
func loadList(ctx context.Context, objects objstore.Store, key string) (list, error) {
	b, _, err := objstore.ReadAll(ctx, objects, key, objstore.Range{}, listSizeMax)
	if errors.Is(err, objstore.ErrNotFound) {
		return list{}, fmt.Errorf("gc list %s: %w", key, fs.ErrNotExist)
	}
	if err != nil {
		return list{}, fmt.Errorf("gc list %s: %w", key, err)
	}
	l, err := decodeList(b)
	if err != nil {
		return list{}, fmt.Errorf("%s: %w", key, err)
	}
	return l, nil
}

// deletable reports whether a list may name the key: an object that only the
// root, or what it names, gives a meaning.
func deletable(key string) bool {
	for _, prefix := range []string{"packs/", "idx/", "memo/", "history/"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}
