package disk_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
)

// TestStatSeesEachChange changes an object of one size in each way in which it
// can be: what Stat keeps between calls must never be taken for what is there.
func TestStatSeesEachChange(t *testing.T) {
	dir := t.TempDir()
	s, err := disk.Create(t.Context(), dir, disk.Options{})
	if err != nil {
		t.Skipf("the folder for temporary files is on no local file system: %v", err)
	}
	defer s.Close()
	name := filepath.Join(dir, "root")
	write := func(body string) objstore.Version {
		t.Helper()
		info, err := s.Stat(t.Context(), "root")
		cond := objstore.Condition{IfVersion: info.Version}
		if err != nil {
			cond = objstore.Condition{IfAbsent: true}
		}
		put, err := s.Put(t.Context(), "root", io.NewSectionReader(strings.NewReader(body), 0, int64(len(body))), cond)
		if err != nil {
			t.Fatal(err)
		}
		return put.Version
	}
	seen := map[objstore.Version]string{}
	check := func(how string) {
		t.Helper()
		for range 2 {
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			info, err := s.Stat(t.Context(), "root")
			if err != nil || info.Size != int64(len(body)) {
				t.Fatalf("%s: %+v, %v", how, info, err)
			}
			if other, ok := seen[info.Version]; ok && other != string(body) {
				t.Fatalf("%s: %q and %q have one version", how, other, body)
			}
			seen[info.Version] = string(body)
		}
	}
	for i := range 50 {
		v := write("put " + string(rune('A'+i)))
		check("put")
		if seen[v] == "" {
			t.Fatalf("Stat does not return the version that Put did")
		}
	}
	for i := range 5 {
		temp := filepath.Join(dir, "aside")
		if err := os.WriteFile(temp, []byte("ren "+string(rune('A'+i))), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temp, name); err != nil {
			t.Fatal(err)
		}
		check("renamed over")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "root"); err == nil {
		t.Fatal("an object that was removed is still there")
	}
	write("anew")
	check("made anew")
}
