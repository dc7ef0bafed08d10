package main

// mutant is dvx without one rule.
type mutant struct {
	name string
	rule string // what is switched off
	cuts []cut
	// The tests that must notice, in ten runs at most, since when what happens is
	// chance in some: packages and the tests in them.
	packages []string
	run      string
}

// cut replaces one piece of a file.
type cut struct {
	file     string
	old, new string // old must occur exactly once
}

// mutants returns the rules that are switched off, of which each has failed in
// some storage system that people trusted.
func mutants() []mutant {
	return []mutant{
		{
			name: "folder-sync",
			rule: "a new object's folder is synced before it is acknowledged",
			cuts: []cut{{
				"pkg/objstore/disk/folders.go",
				"	if err := f.Sync(); err != nil {\n		f.Close()\n		return fmt.Errorf(\"sync folder",
				"	if err := error(nil); err != nil {\n		f.Close()\n		return fmt.Errorf(\"sync folder",
			}},
			packages: []string{"./pkg/objstore/disk"},
			run:      "^TestPowerLoss$",
		},
		{
			name: "floor",
			rule: "a session that began below the floor publishes nothing",
			cuts: []cut{
				{"pkg/repo/apply.go", "if e.Start > 0 && e.Start < base.Floor {", "if false {"},
				{"pkg/repo/ground.go", "if p.s.start < base.root.Floor {", "if false {"},
			},
			packages: []string{"./test/proof"},
			run:      "^TestCollectBesideCommit$",
		},
		{
			name: "list-after-swap",
			rule: "garbage is listed after the swap that set the floor",
			cuts: []cut{
				{"pkg/gc/collect.go", "if c.o.rules.listFirst {", "if true {"},
				{"pkg/gc/sweep.go", "if !c.o.rules.listFirst {", "if false {"},
			},
			packages: []string{"./test/proof"},
			run:      "^TestCollectBesideCommit$",
		},
		{
			name: "no-clean-up",
			rule: "nothing is deleted after a swap of unknown outcome",
			cuts: []cut{{
				"pkg/repo/session.go",
				"	res, at, err := s.d.swap(ctx, t, p.prepare)\n	if err != nil {\n",
				"	res, at, err := s.d.swap(ctx, t, p.prepare)\n	if errors.Is(err, ErrUnknown) {\n" +
					"		for _, key := range s.Segments() {\n			_ = s.d.objects.Delete(context.WithoutCancel(ctx), key)\n		}\n	}\n	if err != nil {\n",
			}},
			packages: []string{"./test/proof"},
			run:      "^TestUnknownOutcomes$",
		},
		{
			name: "etag-reuse",
			rule: "no two roots have the same bytes: a swap that was given up can never land",
			cuts: []cut{{
				"pkg/repo/apply.go",
				"	next.Gen, next.Op, next.Prev = base.Gen+1, t.Op, HashRoot(prev)\n",
				"	next.Gen, next.Op, next.Prev = base.Gen+1, t.Op, HashRoot(prev)\n" +
					"	if len(t.Ops) == 0 && env.Collection == nil {\n		return base, Result{Gen: base.Gen}, nil\n	}\n",
			}},
			packages: []string{"./pkg/repo", "./test/proof"},
			run:      "^(TestPoison|TestUnknownOutcomes)$",
		},
		{
			name: "memo-closure",
			rule: "a result joins the memo only if all that it reaches is stored",
			cuts: []cut{{
				"pkg/pipeline/controller_replay.go",
				"if err := tree.Visit(ctx, snap, e.Record.Output, skip, take); err != nil {",
				"if err := tree.Visit(ctx, snap, e.Record.Output, skip, take); err != nil && !errors.Is(err, chunk.ErrNotFound) {",
			}},
			packages: []string{"./pkg/pipeline"},
			run:      "^TestCrash",
		},
	}
}
