package s3repo_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// zoo commits one of each: files with and without attributes, a link, marked,
// empty and plain directories.
func (s *store) zoo(name string) {
	s.change(name, "main", func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		p := s.Config().Chunker
		text := func(v string) chunk.Content { return putEdit(ctx, s.t, d, p, "x", v, tree.Attrs{}).Entry.Content }
		sum := md5.Sum([]byte("put"))
		wrote := tree.Attrs{
			Time: day.Add(-time.Hour), ContentType: "text/x-own", MD5: sum[:],
			Headers: map[string]string{"cache-control": "no-store", "content-disposition": "inline", "content-encoding": "br", "content-language": "fr", "expires": "never"},
			Meta:    map[string]string{"mtime": "12", "who": "Zoë"},
		}
		put := func(path string, e tree.Entry) tree.Edit {
			return tree.Edit{Op: tree.Put, Path: path, Entry: e, SetAttrs: true}
		}
		return d.Apply(ctx, []tree.Edit{
			put("plain.CSV", tree.Entry{Kind: tree.File, Content: text("plain")}),
			put("put.csv", tree.Entry{Kind: tree.File, Content: text("put"), Attrs: wrote}),
			put("parts", tree.Entry{Kind: tree.File, Content: text("parts"), Attrs: tree.Attrs{ETag: strings.Repeat("0", 32) + "-2"}}),
			put("liar", tree.Entry{Kind: tree.File, Content: text("liar"), Attrs: tree.Attrs{ETag: strings.Repeat("0", 32)}}),
			put("quoted", tree.Entry{Kind: tree.File, Content: text("quoted"), Attrs: tree.Attrs{ETag: "a-\"\r\nb"}}),
			put("empty.txt", tree.Entry{Kind: tree.File}),
			put("link", tree.Entry{Kind: tree.Symlink, Content: text("dir/to é"), Attrs: tree.Attrs{Meta: map[string]string{"who": "ann"}}}),
			put("dir/a", tree.Entry{Kind: tree.File, Content: text("a")}),
			put("dir/a/b", tree.Entry{Kind: tree.File, Content: text("b")}),
			put("marked/a", tree.Entry{Kind: tree.File, Content: text("a")}),
			{Op: tree.Mark, Path: "marked", Marker: &tree.Marker{Content: text("body"), Attrs: tree.Attrs{Time: day, ContentType: "text/x-dir"}}},
			{Op: tree.MakeDir, Path: "hollow/inner", Entry: tree.Entry{Kind: tree.Dir}},
		})
	})
}

func TestDescribe(t *testing.T) {
	s := newStore(t, "zoo")
	s.zoo("zoo")
	b := newBackend(s)
	_, plain, _ := read(t, b, "main.zoo", "plain.CSV")
	at := plain.LastModified // the commit's
	digest := plain.ETag
	tests := map[string]struct {
		text string
		info s3proxy.ObjectInfo
	}{
		"plain.CSV": {"plain", s3proxy.ObjectInfo{LastModified: at, ETag: digest, Attributes: typed("text/csv")}},
		"put.csv": {"put", s3proxy.ObjectInfo{
			LastModified: day.Add(-time.Hour), ETag: fmt.Sprintf("%x", md5.Sum([]byte("put"))),
			Attributes: s3proxy.Attributes{
				ContentType: "text/x-own", CacheControl: "no-store", ContentDisposition: "inline", ContentEncoding: "br",
				ContentLanguage: "fr", Expires: "never", Meta: map[string]string{"mtime": "12", "who": "Zoë"},
			},
		}},
		"parts":     {"parts", s3proxy.ObjectInfo{LastModified: at, ETag: strings.Repeat("0", 32) + "-2"}},
		"empty.txt": {"", s3proxy.ObjectInfo{LastModified: at, ETag: "d41d8cd98f00b204e9800998ecf8427e", Attributes: typed("text/plain")}},
		"link": {"dir/to é", s3proxy.ObjectInfo{
			LastModified: at,
			Attributes: s3proxy.Attributes{
				ContentType: "inode/symlink", Meta: map[string]string{"who": "ann", "dvx-symlink": "true"},
			},
		}},
		"dir/a":         {"a", s3proxy.ObjectInfo{LastModified: at}},
		"dir/a/b":       {"b", s3proxy.ObjectInfo{LastModified: at}},
		"marked/":       {"body", s3proxy.ObjectInfo{LastModified: day, Attributes: typed("text/x-dir")}},
		"marked/a":      {"a", s3proxy.ObjectInfo{LastModified: at}},
		"hollow/inner/": {"", s3proxy.ObjectInfo{LastModified: at, ETag: "d41d8cd98f00b204e9800998ecf8427e", Attributes: typed("application/x-directory")}},
		"liar":          {"liar", s3proxy.ObjectInfo{LastModified: at}},
		"quoted":        {"quoted", s3proxy.ObjectInfo{LastModified: at}},
	}
	for key, tt := range tests {
		got, info, ok := read(t, b, "main.zoo", key)
		if !ok || got != tt.text {
			t.Errorf("%s: got %q, %v, want %q", key, got, ok, tt.text)
			continue
		}
		tt.info.Key, tt.info.Size = key, int64(len(tt.text))
		if tt.info.ETag == "" || tt.info.ETag == digest {
			checkDigest(t, key, info.ETag)
			tt.info.ETag = info.ETag
		}
		tt.info.VersionID = info.VersionID
		if diff := cmp.Diff(tt.info, info); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	for _, key := range []string{"dir", "dir/", "hollow", "hollow/", "hollow/inner", "marked", "plain.CSV/", "dir/a/", "dir//a", "./dir/a", "dir/../dir/a", "dir/a/b/", "/dir/a", "marked//"} {
		if _, info, ok := read(t, b, "main.zoo", key); ok {
			t.Errorf("%q is there: %+v", key, info)
		}
	}
}

// checkDigest fails if a client could take a tag for an MD5.
func checkDigest(t *testing.T, key, tag string) {
	t.Helper()
	if _, err := hex.DecodeString(tag); err == nil || !strings.HasSuffix(tag, "-dvx") || len(tag) != 64+len("-dvx") {
		t.Errorf("%s: ETag %q", key, tag)
	}
}

// What a list says of an object is what the object says of itself.
func TestListDescribes(t *testing.T) {
	s := newStore(t, "zoo")
	s.zoo("zoo")
	b := newBackend(s)
	for bucket, prefix := range map[string]string{"zoo": "main/", "main.zoo": ""} {
		all := keys(t, b, bucket, s3proxy.ListQuery{})
		want := "dir/a dir/a/b empty.txt hollow/inner/ liar link marked/ marked/a parts plain.CSV put.csv quoted"
		if got := strings.ReplaceAll(" "+strings.Join(all, " "), " "+prefix, " ")[1:]; got != want {
			t.Errorf("%s lists\n%q, want\n%q", bucket, got, want)
		}
		for _, delimiter := range []string{"", "/"} {
			for _, key := range all {
				page, err := b.List(t.Context(), bucket, s3proxy.ListQuery{Prefix: key, Delimiter: delimiter, MaxKeys: 1})
				if err != nil || len(page.Objects) != 1 {
					t.Fatalf("list %s by %q: %+v, %v", key, delimiter, page, err)
				}
				_, info, _ := read(t, b, bucket, key)
				info = s3proxy.ObjectInfo{Key: info.Key, Size: info.Size, ETag: info.ETag, LastModified: info.LastModified, VersionID: info.VersionID}
				if diff := cmp.Diff(info, page.Objects[0]); diff != "" {
					t.Errorf("%s (-opened +listed):\n%s", key, diff)
				}
			}
		}
	}
}

// A sync asks whether ETag and time changed: they do only with the content.
func TestUnchangedContentLooksUnchanged(t *testing.T) {
	s := newStore(t, "r")
	s.put("r", "main", map[string]string{"keep": "same", "d/keep": "same", "change": "1"})
	b := newBackend(s)
	_, keep, _ := read(t, b, "main.r", "keep")
	_, other, _ := read(t, b, "main.r", "d/keep")
	_, change, _ := read(t, b, "main.r", "change")
	s.put("r", "main", map[string]string{"keep": "same", "change": "2"})
	_, keep2, _ := read(t, b, "main.r", "keep")
	_, change2, _ := read(t, b, "main.r", "change")
	if diff := cmp.Diff(keep, keep2); diff != "" {
		t.Errorf("of unchanged content (-before +after):\n%s", diff)
	}
	if keep.ETag != other.ETag {
		t.Errorf("equal content has ETags %s and %s", keep.ETag, other.ETag)
	}
	if change.ETag == change2.ETag || !change2.LastModified.After(change.LastModified) {
		t.Errorf("changed content: %+v, then %+v", change, change2)
	}
}

// An object that was opened stays what it was when its branch moves on.
func TestOpenedObjectIsPinned(t *testing.T) {
	s := newStore(t, "r")
	old := strings.Repeat("the old version\n", 10_000)
	s.put("r", "main", map[string]string{"f": old})
	b := newBackend(s)
	o, err := b.Open(t.Context(), s3proxy.ObjectName{Bucket: "r", Key: "main/f"})
	if err != nil {
		t.Fatal(err)
	}
	s.put("r", "main", map[string]string{"f": strings.Repeat("the new version\n", 10_000)})
	s.move(repo.DeleteRepo{Repo: "r"})
	if got := content(t, o); got != old {
		t.Errorf("an opened object of %d bytes holds other %d", len(old), len(got))
	}
	if _, _, ok := read(t, b, "r", "main/f"); ok {
		t.Error("a deleted repo is still served")
	}
}

func TestRangeRefuses(t *testing.T) {
	s := newStore(t, "r")
	s.put("r", "main", map[string]string{"f": "12345"})
	o, err := newBackend(s).Open(t.Context(), s3proxy.ObjectName{Bucket: "r", Key: "main/f"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{-1, 2}, {0, 0}, {0, 6}, {5, 1}, {1, -1}, {1, 1<<63 - 1}} {
		if _, err := o.Range(t.Context(), r[0], r[1]); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%d bytes at %d: got %v, want %v", r[1], r[0], err, fs.ErrInvalid)
		}
	}
	for id, want := range map[string]error{
		"1": s3proxy.ErrInvalidVersion, "deleted-open": s3proxy.ErrInvalidVersion, strings.Repeat("a", 65): s3proxy.ErrInvalidVersion,
		"null": s3proxy.ErrNoSuchVersion, strings.Repeat("a", 32): s3proxy.ErrNoSuchVersion, "deleted-" + strings.Repeat("a", 32): s3proxy.ErrNoSuchVersion,
	} {
		_, err = newBackend(s).Open(t.Context(), s3proxy.ObjectName{Bucket: "r", Key: "main/f", VersionID: id})
		if !errors.Is(err, want) {
			t.Errorf("version %s: got %v, want %v", id, err, want)
		}
	}
}

// lossy is a store that can't read the chunks of one kind.
type lossy struct {
	*store
	lost chunk.Kind
	err  error
}

func (l lossy) Reader(ctx context.Context, scope repo.Scope) (chunk.Reader, error) {
	r, err := l.store.Reader(ctx, scope)
	return lossyReader{r, l}, err
}

type lossyReader struct {
	chunk.Reader
	l lossy
}

func (r lossyReader) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if kind == r.l.lost {
		return nil, fmt.Errorf("get %v: %w", kind, r.l.err)
	}
	return r.Reader.Get(ctx, kind, id)
}

// A damaged store is no missing key: a sync would delete what it can't read.
func TestDamageIsNotAbsence(t *testing.T) {
	s := newStore(t, "r")
	id := s.put("r", "main", map[string]string{"d/f": strings.Repeat("some text\n", 1000)})
	for _, lost := range []chunk.Kind{chunk.Commit, chunk.Node, chunk.List, chunk.Data} {
		for _, cause := range []error{chunk.ErrNotFound, chunk.ErrCorrupt, fs.ErrInvalid, fs.ErrExist} {
			b := newBackend(lossy{store: s, lost: lost, err: cause})
			for _, key := range []string{"main/d/f", id.String() + "/d/f", "main~0/d/f"} {
				if err := useAll(t.Context(), b, key); err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, fs.ErrExist) {
					t.Errorf("%s without %v: %v", key, lost, err)
				}
			}
			if lost == chunk.Commit || lost == chunk.Node {
				for _, delimiter := range []string{"", "/", "f"} {
					_, err := b.List(t.Context(), "r", s3proxy.ListQuery{Prefix: "main/d/", Delimiter: delimiter, MaxKeys: 9})
					if err == nil || errors.Is(err, fs.ErrNotExist) {
						t.Errorf("list by %q without %v: %v", delimiter, lost, err)
					}
				}
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := useAll(ctx, newBackend(lossy{store: s, lost: chunk.Node, err: context.Canceled}), "main/d/f"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// useAll opens an object and reads all of it.
func useAll(ctx context.Context, b s3proxy.Backend, key string) error {
	o, err := b.Open(ctx, s3proxy.ObjectName{Bucket: "r", Key: key})
	if err != nil {
		return err
	}
	r, err := o.Range(ctx, 0, o.Info().Size)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, o.Info().Size)
	for n := 0; n < len(buf) && err == nil; {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return err
}

func typed(mediaType string) s3proxy.Attributes { return s3proxy.Attributes{ContentType: mediaType} }

func TestLongRanges(t *testing.T) {
	s := newStore(t, "zoo")
	text := random(6<<20, 3)
	s.put("zoo", "main", map[string]string{"long": text})
	b := newBackend(s)
	for _, at := range [][2]int64{{0, 6 << 20}, {1, 6<<20 - 2}, {1 << 20, 9 << 19}, {5 << 20, 100}} {
		o, err := b.Open(t.Context(), name("zoo", "main/long"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := o.Range(t.Context(), at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 50)
		if _, err := io.ReadFull(r, first); err != nil {
			t.Fatal(err)
		}
		var rest bytes.Buffer
		if n, err := io.Copy(&rest, r); err != nil || n != at[1]-50 {
			t.Errorf("range %v: %d bytes, %v", at, n, err)
		}
		if string(first)+rest.String() != text[at[0]:][:at[1]] {
			t.Errorf("range %v: other bytes", at)
		}
		if err := errors.Join(r.Close(), o.Close()); err != nil {
			t.Error(err)
		}
	}
}
