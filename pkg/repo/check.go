package repo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// check holds every rule of FORMAT.md that the JSON does not hold by itself.
func (r *Root) check() error {
	switch {
	case r.Format != Format:
		return invalid("format %d: want %d", r.Format, Format)
	case !isUUID(r.Store):
		return invalid("store %.80q: want a UUID", r.Store)
	case r.Gen == 0 || r.Gen > GenMax:
		return invalid("generation %d: want 1 to %d", r.Gen, uint64(GenMax))
	case r.Op.IsZero():
		return invalid("op is zero")
	case r.Prev.IsZero() != (r.Gen == 1):
		return invalid("generation %d with previous root %v", r.Gen, r.Prev)
	case r.Floor > r.Gen:
		return invalid("floor %d is above the generation %d", r.Floor, r.Gen)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Repos)) {
		if err := CheckRepoName(name); err != nil {
			return err
		}
		if err := r.Repos[name].check(r.Gen); err != nil {
			return fmt.Errorf("repo %s: %w", name, err)
		}
	}
	if err := r.checkSegments(); err != nil {
		return err
	}
	if err := r.checkOps(); err != nil {
		return err
	}
	if err := r.checkReserved(); err != nil {
		return err
	}
	return checkFeatureNames(r.Features)
}

func (r Repo) check(gen uint64) error {
	if err := checkText("description", r.Description, DescriptionMax); err != nil {
		return err
	}
	if err := CheckRefName(r.Default); err != nil {
		return fmt.Errorf("default branch: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Branches)) {
		if err := CheckRefName(name); err != nil {
			return err
		}
		if err := r.Branches[name].check(gen); err != nil {
			return fmt.Errorf("branch %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Specs)) {
		if err := CheckRefName(name); err != nil {
			return err
		}
		s := r.Specs[name]
		if err := s.check(gen); err != nil {
			return fmt.Errorf("spec %s: %w", name, err)
		}
		if s.Commit.IsZero() || s.Fork != "" || s.Protect != nil || s.Seal != nil || s.Keep != nil {
			return invalid("spec %s: want a commit, and neither fork nor protection", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
		if err := CheckRefName(name); err != nil {
			return err
		}
		if err := r.Tags[name].check(gen); err != nil {
			return fmt.Errorf("tag %s: %w", name, err)
		}
	}
	return checkPrefixFree(r)
}

// checkPrefixFree looks at the names in order of their components, where a
// name comes right before those that it is a prefix of.
func checkPrefixFree(r Repo) error {
	names := make([]string, 0, len(r.Branches)+len(r.Tags))
	for name := range r.Branches {
		names = append(names, name)
	}
	for name := range r.Tags {
		names = append(names, name)
	}
	key := func(name string) string { return strings.ReplaceAll(name, "/", "\x00") }
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(key(a), key(b)) })
	for i := 1; i < len(names); i++ {
		if a, b := names[i-1], names[i]; a == b || strings.HasPrefix(b, a+"/") {
			return invalid("names %q and %q exclude each other", a, b)
		}
	}
	return nil
}

func (b Branch) check(gen uint64) error {
	if b.Gen == 0 || b.Gen > gen {
		return invalid("generation %d: want 1 to %d", b.Gen, gen)
	}
	if err := checkPrincipal(b.Owner); err != nil {
		return err
	}
	if b.Fork != "" {
		if err := CheckRefName(b.Fork); err != nil {
			return fmt.Errorf("fork: %w", err)
		}
	}
	if err := b.Seal.check(); err != nil {
		return err
	}
	if err := b.Keep.check(); err != nil {
		return err
	}
	return checkProtect(b.Protect)
}

func (t Tag) check(gen uint64) error {
	if t.Gen == 0 || t.Gen > gen {
		return invalid("generation %d: want 1 to %d", t.Gen, gen)
	}
	if t.Commit.IsZero() {
		return invalid("commit is the zero ID")
	}
	if err := checkPrincipal(t.Owner); err != nil {
		return err
	}
	return checkText("message", t.Message, TagMessageMax)
}

func checkProtect(names []string) error {
	if len(names) > ProtectMax {
		return invalid("%d principals exceed the limit of %d", len(names), ProtectMax)
	}
	for i, name := range names {
		if name == "" || i > 0 && names[i-1] >= name {
			return invalid("protection: want names in order, each once, found %q", name)
		}
		if err := checkPrincipal(name); err != nil {
			return err
		}
	}
	return nil
}

func checkPrincipal(name string) error {
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalid("principal %q has a control character", name)
	}
	return checkText("principal", name, 255)
}

func (r *Root) checkSegments() error {
	if len(r.Segments) > SegmentsMax {
		return invalid("%d index segments exceed the limit of %d", len(r.Segments), SegmentsMax)
	}
	seen := map[string]bool{}
	for _, s := range r.Segments {
		if s.Chunks < 0 {
			return invalid("segment %s has %d chunks", s.Key, s.Chunks)
		}
		if err := checkNewKey(seen, s.Key); err != nil {
			return err
		}
	}
	if len(r.Memo) > AttachedMax || len(r.History) > AttachedMax {
		return invalid("%d memo and %d history segments exceed the limit of %d each", len(r.Memo), len(r.History), AttachedMax)
	}
	for _, key := range slices.Concat(r.Memo, r.History) {
		if err := checkNewKey(seen, key); err != nil {
			return err
		}
	}
	return nil
}

func checkNewKey(seen map[string]bool, key string) error {
	if seen[key] {
		return invalid("object %s is named twice", key)
	}
	seen[key] = true
	return objstore.CheckKey(key)
}

func (r *Root) checkOps() error {
	if len(r.Ops) > OpsMax {
		return invalid("%d operations exceed the limit of %d", len(r.Ops), OpsMax)
	}
	for i, o := range r.Ops {
		if o.Op.IsZero() || o.Gen == 0 || o.Gen > r.Gen || i > 0 && r.Ops[i-1].Gen >= o.Gen {
			return invalid("operation %v at generation %d is out of order", o.Op, o.Gen)
		}
		if len(o.Moved) > MovedMax {
			return invalid("operation %v names %d refs, at most %d allowed", o.Op, len(o.Moved), MovedMax)
		}
		for _, m := range o.Moved {
			if err := CheckRepoName(m.Repo); err != nil {
				return err
			}
			if err := CheckRefName(m.Branch); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Root) checkReserved() error {
	if err := r.checkOpen(); err != nil {
		return err
	}
	if !slices.Contains(r.Features, retentionFeature) {
		for name, x := range r.Repos {
			for branch, b := range x.Branches {
				if b.Keep != nil {
					return invalid("retention of %s@%s without the feature %s", name, branch, retentionFeature)
				}
			}
		}
	}
	if r.RefPages != "" && !slices.Contains(r.Features, refPagesFeature) {
		return invalid("ref pages without the feature %s", refPagesFeature)
	}
	if err := checkPrincipal(r.Leader); err != nil {
		return fmt.Errorf("leader: %w", err)
	}
	for _, g := range r.Graveyard {
		if g.Gen == 0 || g.Gen > r.Gen {
			return invalid("graveyard of generation %d", g.Gen)
		}
		if err := objstore.CheckKey(g.List); err != nil {
			return err
		}
	}
	for _, p := range r.Pins {
		if p.Commit.IsZero() {
			return invalid("pin of the zero ID")
		}
		if err := checkText("pin's reason", p.Reason, DescriptionMax); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) check() error {
	switch {
	case c.Format != Format:
		return invalid("format %d: want %d", c.Format, Format)
	case !isUUID(c.Store):
		return invalid("store %.80q: want a UUID", c.Store)
	case c.Hash != HashName:
		return invalid("hash %.80q: want %q", c.Hash, HashName)
	case c.Mode != ModePlain:
		return invalid("mode %.80q: only %q is supported yet", c.Mode, ModePlain)
	}
	if err := c.Chunker.Validate(); err != nil {
		return err
	}
	return checkFeatureNames(c.Features)
}

func checkFeatureNames(features []string) error {
	if len(features) > featuresMax {
		return invalid("%d features exceed the limit of %d", len(features), featuresMax)
	}
	for i, f := range features {
		name := strings.TrimPrefix(f, writeFeature)
		if name == "" || len(f) > featureSizeMax || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return invalid("feature %.80q: want lower-case letters, digits and -", f)
		}
		if i > 0 && features[i-1] >= f {
			return invalid("features are not in order at %q", f)
		}
	}
	return nil
}

func checkText(what, s string, max int) error {
	switch {
	case len(s) > max:
		return invalid("%s of %d bytes exceeds the limit of %d", what, len(s), max)
	case !utf8.ValidString(s):
		return invalid("%s is not valid UTF-8", what)
	case strings.ContainsRune(s, 0):
		return invalid("%s has a NUL byte", what)
	}
	return nil
}

func isUUID(s string) bool {
	_, err := ParseOpID(s)
	return err == nil && len(s) == 36
}
