package auth

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func random(seed byte) *bytes.Reader {
	return bytes.NewReader(bytes.Repeat([]byte{seed}, 44))
}

func TestOwnerOnly(t *testing.T) {
	for _, a := range []Action{Read, Write, Admin, ReadPipeline, WritePipeline, ReadStore} {
		if err := (OwnerOnly{}).Authorize(context.Background(), Owner, a, Resource{}); err != nil {
			t.Errorf("owner %s: %v", a, err)
		}
		for _, p := range []Principal{{}, {Name: "eve"}, {Name: "Owner"}} {
			err := (OwnerOnly{}).Authorize(context.Background(), p, a, Resource{Repo: "images", Branch: "main"})
			if !errors.Is(err, ErrDenied) || !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%v %s: %v, want ErrDenied", p, a, err)
			} else if !strings.Contains(err.Error(), "images@main") || !strings.Contains(err.Error(), p.String()) {
				t.Errorf("%q names neither who nor what", err)
			}
		}
	}
}

func TestPrincipalInContext(t *testing.T) {
	if _, err := From(context.Background()); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("empty context: %v, want ErrUnauthenticated", err)
	}
	if _, err := From(With(context.Background(), Principal{})); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("nobody in context: %v, want ErrUnauthenticated", err)
	}
	if p, err := From(With(context.Background(), Owner)); err != nil || p != Owner {
		t.Errorf("got %v, %v", p, err)
	}
}

func TestAuthenticate(t *testing.T) {
	a, err := NewKey(random(1), Owner)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewKey(random(2), Principal{Name: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	ks := Keys{a, b}
	if p, err := ks.Authenticate(b.Token()); err != nil || p.Name != "bob" {
		t.Errorf("bob's token: %v, %v", p, err)
	}
	for _, token := range []string{"", ".", a.Access, a.Access + ".", a.Access + "." + b.Secret, a.Token() + "x", "X" + a.Token(), a.Secret} {
		if _, err := ks.Authenticate(token); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("token %q: %v, want ErrUnauthenticated", token, err)
		}
	}
	if _, err := NewKey(bytes.NewReader(nil), Owner); err == nil {
		t.Error("a key was made without randomness")
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "owner.key")
	if _, err := LoadKey(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	made, err := LoadOrCreateKey(path, random(7), Owner)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreateKey(path, random(8), Owner)
	if err != nil || again != made {
		t.Fatalf("second start made another key: %v, %v", again, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o, want 0600", info.Mode().Perm())
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateKey(path, random(9), Owner); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("file that the group can read: %v, want fs.ErrPermission", err)
	}
	_ = os.Chmod(path, 0o600)
	for _, damaged := range []string{"", "{", `{"access":"A"}`, `{"access":"` + made.Access + `","secret":"","principal":"owner"}`} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreateKey(path, random(9), Owner); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("damaged %q: %v, want fs.ErrInvalid", damaged, err)
		}
	}
}

func TestKeyFileRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "owner.key")
	keys := make([]Key, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			k, err := LoadOrCreateKey(path, random(byte(i)), Owner)
			if err != nil {
				t.Error(err)
			}
			keys[i] = k
		})
	}
	wg.Wait()
	for _, k := range keys[1:] {
		if k != keys[0] {
			t.Fatal("racers hold different keys")
		}
	}
	if rest, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(rest) != 0 {
		t.Errorf("temporary files left: %v", rest)
	}
}
