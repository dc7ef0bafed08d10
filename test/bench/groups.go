package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// group is what is measured on one input.
type group struct {
	name  string
	title string
	make  func(b *bench, dir string) ([]contest, error)
	run   func(b *bench, dir string) error // in place of make: measures and prints by itself
}

func groups() []group {
	return []group{
		{name: "big", title: "One incompressible file of 2 GiB", make: bigFile},
		{name: "edits", title: "The file of 2 GiB with small insertions", make: editedFile},
		{name: "small", title: "100,000 incompressible files of 4 KiB", make: smallFiles},
		{name: "million", title: "1,000,000 files", make: millionFiles},
		{name: "source", title: "Source trees", make: sourceTrees},
		{name: "pipeline", title: "Pipelines", run: pipelines},
		{name: "s3", title: "S3: one incompressible object of 1 GiB, 10,000 of 4 KiB", run: s3Files},
		{name: "s3list", title: "S3: a list of 1,000,000 keys", run: s3List},
	}
}

func groupNames() (names []string) {
	for _, g := range groups() {
		names = append(names, g.name)
	}
	return names
}

func (b *bench) scaled(n int64) int64 { return max(1, int64(float64(n)*b.o.scale)) }

func bigFile(b *bench, dir string) ([]contest, error) {
	a, err := b.arena(dir)
	if err != nil {
		return nil, err
	}
	if err := randomFile(filepath.Join(a.src, "big"), b.scaled(2<<30)); err != nil {
		return nil, err
	}
	return []contest{
		{"commit, empty store", []side{a.cold("dvx"), a.cold("restic"), a.cold("borg"), a.cold("cp")}},
		a.checkout(),
	}, nil
}

// checkout compares dvx checkout, from a store that is filled before the first
// round, with a copy of the source.
func (a *arena) checkout() contest {
	to, filled := filepath.Join(a.dir, "out"), false
	dvx := side{
		peer: "dvx",
		prepare: func() error {
			if !filled {
				if err := a.fill("dvx"); err != nil {
					return err
				}
				filled = true
			}
			return a.setAside(to)
		},
		command: func() *exec.Cmd {
			return a.b.command(a.dir, "dvx", "checkout", "--store", a.store("dvx"), "src@main", to)
		},
	}
	cp := side{
		peer:    "cp",
		prepare: func() error { return a.setAside(to) },
		command: func() *exec.Cmd { return a.b.command(a.dir, "cp", "-r", a.src, to) },
	}
	return contest{"checkout", []side{dvx, cp}}
}

func editedFile(b *bench, dir string) ([]contest, error) {
	a, err := b.arena(dir)
	if err != nil {
		return nil, err
	}
	first, name := filepath.Join(dir, "first"), filepath.Join(a.src, "big")
	if err := randomFile(first, b.scaled(2<<30)); err != nil {
		return nil, err
	}
	if err := edited(first, name, 0, false, 0); err != nil {
		return nil, err
	}
	if err := a.fill("dvx", "restic"); err != nil {
		return nil, err
	}
	change := func(front bool, n int) contest {
		round := 0
		dvx := a.again("dvx", func() error {
			round++
			return edited(first, name, round, front, n)
		})
		return contest{fmt.Sprintf("%d byte in front, %d places changed", btoi(front), n), []side{dvx, a.again("restic", func() error { return nil })}}
	}
	return []contest{change(true, 0), change(false, 64)}, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func smallFiles(b *bench, dir string) ([]contest, error) {
	a, err := b.arena(dir)
	if err != nil {
		return nil, err
	}
	if err := manyFiles(a.src, int(b.scaled(100_000)), 4096); err != nil {
		return nil, err
	}
	if err := warm(a.src); err != nil {
		return nil, err
	}
	cold := []side{a.cold("dvx"), a.cold("restic"), a.cold("borg"), a.cold("git"), a.cold("cp")}
	return []contest{{"commit, empty store", cold}, a.checkout(), a.unchanged("dvx", "restic", "git", "find")}, nil
}

// unchanged compares what it costs to find that nothing changed. The first
// side fills all stores before its first round.
func (a *arena) unchanged(peers ...string) contest {
	var sides []side
	for _, p := range peers {
		switch p {
		case "dvx":
			s := side{peer: p, label: "dvx commit", command: func() *exec.Cmd { return a.commit("dvx") }}
			filled := false
			s.prepare = func() error {
				if filled {
					return nil
				}
				filled = true
				return a.settle(peers)
			}
			sides = append(sides, s, a.process("dvx", "dvx status", a.src, "dvx", "status"))
		case "git":
			sides = append(sides, a.process(p, "git status", a.src, "git", "--git-dir="+a.store("git"), "--work-tree=.", "status", "--short"))
		case "find":
			sides = append(sides, a.process(p, "find -printf", a.src, "find", ".", "-printf", "%s %T@\n"))
		default:
			sides = append(sides, side{peer: p, label: p + " backup", command: func() *exec.Cmd { return a.commit(p) }})
		}
	}
	return contest{"nothing changed", sides}
}

// settle fills the stores, and lets each tool look twice, so that its index
// trusts what is on disk.
func (a *arena) settle(peers []string) error {
	for _, p := range peers {
		if p == "find" || !a.b.peers[p] {
			continue
		}
		if err := a.fill(p); err != nil {
			return err
		}
		cmd := a.commit(p)
		if p == "git" {
			cmd = a.b.command(a.src, "git", "--git-dir="+a.store("git"), "--work-tree=.", "status", "--short")
		}
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s, second time: %w: %s", p, err, text)
		}
	}
	return nil
}

func millionFiles(b *bench, dir string) ([]contest, error) {
	a, err := b.arena(dir)
	if err != nil {
		return nil, err
	}
	count := int(b.scaled(1_000_000))
	if err := manyFiles(a.src, count, 16); err != nil {
		return nil, err
	}
	cold := contest{"commit, empty store", []side{a.cold("dvx")}}
	unchanged := a.unchanged("dvx", "find")
	one := filepath.Join(dir, "one")
	if err := os.WriteFile(one, []byte("one file\n"), 0o666); err != nil {
		return nil, err
	}
	round := 0
	put := a.again("dvx", func() error { round++; return os.WriteFile(one, fmt.Appendf(nil, "round %d\n", round), 0o666) })
	put.command = func() *exec.Cmd {
		return b.command(dir, "dvx", "put", "--store", a.store("dvx"), one, "src@main:/d0000/f500")
	}
	changed := false
	diff := side{
		peer: "dvx",
		prepare: func() error {
			if changed {
				return nil
			}
			changed = true
			for i := range 10 {
				if err := os.WriteFile(fileOf(a.src, i*count/10), []byte("changed\n"), 0o666); err != nil {
					return err
				}
			}
			return a.b.quiet(a.src, "dvx", "commit", "-m", "ten", "--on-conflict", "mine")
		},
		command: func() *exec.Cmd {
			return b.command(dir, "dvx", "diff", "--store", a.store("dvx"), "src@main~1", "src@main")
		},
	}
	return []contest{cold, unchanged, {"put one file", []side{put}}, {"diff of 10 changes", []side{diff}}}, nil
}

func sourceTrees(b *bench, dir string) ([]contest, error) {
	a, err := b.arena(dir)
	if err != nil {
		return nil, err
	}
	trees := strings.Split(b.o.source, ",")
	if b.o.source == "" {
		text, err := exec.CommandContext(b.ctx, "go", "env", "GOROOT", "GOMODCACHE").Output()
		if err != nil {
			return nil, fmt.Errorf("where is Go (or give -source): %w", err)
		}
		at := strings.Fields(string(text))
		trees = []string{filepath.Join(at[0], "src"), at[1]}
	}
	for i, from := range trees {
		if err := copyTree(from, filepath.Join(a.src, fmt.Sprint(i))); err != nil {
			return nil, err
		}
	}
	sides := []side{a.cold("dvx"), a.cold("restic"), a.cold("borg"), a.cold("git"), a.cold("cp")}
	return []contest{{"commit, empty store", sides}, a.checkout()}, nil
}
