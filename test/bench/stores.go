package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// arena is a folder with a source tree and a store of each peer beside it.
type arena struct {
	b   *bench
	dir string
	src string
	old int // folders that were set aside
}

func (b *bench) arena(dir string) (*arena, error) {
	a := &arena{b: b, dir: dir, src: filepath.Join(dir, "src")}
	return a, os.Mkdir(a.src, 0o777)
}

// store is where a peer keeps what it stores.
func (a *arena) store(peer string) string { return filepath.Join(a.dir, peer+".store") }

// forget removes a peer's store and what it left in the source.
func (a *arena) forget(peer string) error {
	if peer == "dvx" {
		if err := os.RemoveAll(filepath.Join(a.src, ".dvx")); err != nil {
			return err
		}
	}
	return a.setAside(a.store(peer))
}

// manyEntries is how many files a folder has that is set aside: ext4 takes its
// time to reuse the inodes of files that were just removed, and whoever makes
// files then pays for it.
const manyEntries = 1000

// setAside removes a folder, or moves it away, to be removed at the group's
// end, if many files are in it.
func (a *arena) setAside(name string) error {
	count := 0
	err := filepath.WalkDir(name, func(string, fs.DirEntry, error) error {
		if count++; count > manyEntries {
			return filepath.SkipAll
		}
		return nil
	})
	if err != nil || count <= manyEntries {
		return errors.Join(err, os.RemoveAll(name))
	}
	a.old++
	return os.Rename(name, filepath.Join(a.dir, fmt.Sprintf("old-%d", a.old)))
}

// fresh makes a peer's empty store.
func (a *arena) fresh(peer string) error {
	if err := a.forget(peer); err != nil {
		return err
	}
	store := a.store(peer)
	switch peer {
	case "dvx":
		return a.b.quiet(a.src, "dvx", "init", "--store", store)
	case "restic":
		return a.b.quiet(a.src, "restic", "init", "-q", "-r", store)
	case "borg":
		return a.b.quiet(a.src, "borg", "init", "-e", "none", store)
	case "git":
		if err := a.b.quiet(a.dir, "git", "init", "-q", "--bare", store); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(store, "info", "exclude"), []byte(".dvx\n"), 0o666)
	}
	return nil
}

// commit is the process that stores the source as it is.
func (a *arena) commit(peer string) *exec.Cmd {
	store := a.store(peer)
	switch peer {
	case "dvx":
		return a.b.command(a.src, "dvx", "commit", "-m", "bench")
	case "restic":
		return a.b.command(a.src, "restic", "backup", "-q", "-r", store, "--exclude", ".dvx", ".")
	case "borg":
		return a.b.command(a.src, "borg", "create", "--exclude", "*/.dvx", store+"::{utcnow:%s%f}", ".")
	case "git":
		script := `git --git-dir="$0" --work-tree=. add -A && git --git-dir="$0" --work-tree=. commit -q -m bench`
		return a.b.command(a.src, "sh", "-c", script, store)
	default: // cp
		return a.b.command(a.dir, "cp", "-r", a.src, store)
	}
}

// cold is a side that stores the source in an empty store.
func (a *arena) cold(peer string) side {
	return side{
		peer:    peer,
		prepare: func() error { return a.fresh(peer) },
		command: func() *exec.Cmd { return a.commit(peer) },
		after: func() (string, error) {
			n, err := sizeOf(a.store(peer))
			return fmt.Sprintf("%.1f MiB stored", float64(n)/(1<<20)), err
		},
	}
}

// again is a side that stores the source in a store that has much of it.
func (a *arena) again(peer string, change func() error) side {
	var before int64
	return side{
		peer: peer,
		prepare: func() (err error) {
			if err = change(); err == nil {
				before, err = sizeOf(a.store(peer))
			}
			return err
		},
		command: func() *exec.Cmd { return a.commit(peer) },
		after: func() (string, error) {
			n, err := sizeOf(a.store(peer))
			return fmt.Sprintf("%.2f MiB new", float64(n-before)/(1<<20)), err
		},
	}
}

// fill stores the source, not measured, in an empty store of each peer.
func (a *arena) fill(peers ...string) error {
	for _, p := range peers {
		if !a.b.peers[p] {
			continue
		}
		_, _ = fmt.Fprintf(a.b.log, "%s stores the source\n", p)
		if err := a.fresh(p); err != nil {
			return err
		}
		cmd := a.commit(p)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", p, err, text)
		}
	}
	return nil
}

// process is a side that needs no preparation.
func (a *arena) process(peer, label, dir string, args ...string) side {
	return side{peer: peer, label: label, command: func() *exec.Cmd { return a.b.command(dir, args[0], args[1:]...) }}
}
