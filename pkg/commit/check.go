package commit

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dvx-io/dvx/pkg/tree"
)

// Limits of a commit; every decoder and writer holds them. SizeMax bounds the
// rest.
const (
	ParentsMax     = 256
	OriginsMax     = 4096
	InputsMax      = 4096
	AuthorSizeMax  = 1024      // bytes
	MessageSizeMax = 256 << 10 // bytes
	KeySizeMax     = 255       // bytes of a label's or parameter's key, an input's name, a digest
	ValueSizeMax   = 64 << 10  // bytes of a label's or parameter's value
)

// check holds every rule of FORMAT.md but the time's, which FormatTime holds,
// and the total size.
func (c Commit) check() error {
	if err := checkTree("tree", c.Tree); err != nil {
		return err
	}
	if err := checkParents(c.Parents); err != nil {
		return err
	}
	if c.Author == "" {
		return invalid("author is empty")
	}
	if !hexDigits(c.Op, 32) {
		return invalid("op %.80q: want 32 lower-case hex digits", c.Op)
	}
	for _, f := range []struct {
		name, value string
		max         int
	}{
		{"author", c.Author, AuthorSizeMax},
		{"committer", c.Committer, AuthorSizeMax},
		{"run", c.Run, KeySizeMax},
	} {
		if err := checkLine(f.name, f.value, f.max); err != nil {
			return err
		}
	}
	if err := checkText("message", c.Message, MessageSizeMax); err != nil {
		return err
	}
	if err := checkMap("label", c.Labels); err != nil {
		return err
	}
	if len(c.Origins) > OriginsMax {
		return invalid("%d origins exceed the limit of %d", len(c.Origins), OriginsMax)
	}
	for _, o := range c.Origins {
		if err := o.check("origin"); err != nil {
			return err
		}
	}
	if err := c.checkChanges(); err != nil {
		return err
	}
	if c.Prov != nil {
		return c.Prov.check()
	}
	return nil
}

func (c Commit) checkChanges() error {
	switch {
	case c.Changes == nil:
		return nil
	case len(c.Parents) == 0:
		return invalid("changes without a parent")
	case c.Changes.Since.IsZero():
		return invalid("changes since the zero ID")
	}
	return checkTree("changes", c.Changes.Tree)
}

func checkParents(parents []ID) error {
	if len(parents) > ParentsMax {
		return invalid("%d parents exceed the limit of %d", len(parents), ParentsMax)
	}
	for i, p := range parents {
		if p.IsZero() {
			return invalid("parent %d is the zero ID", i)
		}
		if slices.Contains(parents[:i], p) {
			return invalid("parent %v is named twice", p.Short())
		}
	}
	return nil
}

func (p *Provenance) check() error {
	if err := CheckRepoName(p.Pipeline); err != nil {
		return fmt.Errorf("provenance: pipeline: %w", err)
	}
	if err := CheckRefName(p.Branch); err != nil {
		return fmt.Errorf("provenance: branch: %w", err)
	}
	if p.Spec.IsZero() {
		return invalid("provenance: spec is the zero ID")
	}
	if !hexDigits(p.Job, 64) {
		return invalid("provenance: job %.80q: want 64 lower-case hex digits", p.Job)
	}
	if p.Code != "" && !hexDigits(p.Code, 64) {
		return invalid("provenance: code %.80q: want 64 lower-case hex digits", p.Code)
	}
	if err := checkLine("provenance: image", p.Image, KeySizeMax); err != nil {
		return err
	}
	if err := checkLine("provenance: principal", p.Principal, AuthorSizeMax); err != nil {
		return err
	}
	if len(p.Inputs) > InputsMax {
		return invalid("provenance: %d inputs exceed the limit of %d", len(p.Inputs), InputsMax)
	}
	for i, in := range p.Inputs {
		if in.Name == "" {
			return invalid("provenance: input %d has no name", i)
		}
		if err := checkLine("provenance: input name", in.Name, KeySizeMax); err != nil {
			return err
		}
		if err := in.Ref.check("provenance: input " + in.Name); err != nil {
			return err
		}
	}
	if p.Datums != nil {
		if err := checkTree("provenance: datums", *p.Datums); err != nil {
			return err
		}
	}
	return checkMap("provenance: parameter", p.Parameters)
}

func (r Ref) check(what string) error {
	if err := CheckRepoName(r.Repo); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if r.Branch != "" {
		if err := CheckRefName(r.Branch); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if r.Commit.IsZero() {
		return invalid("%s: commit is the zero ID", what)
	}
	return nil
}

func checkTree(what string, r tree.Root) error {
	switch {
	case r.ID.IsZero() || r.Content.IsZero():
		return invalid("%s names no directory", what)
	case r.Files < 0 || r.Bytes < 0:
		return invalid("%s has negative totals", what)
	}
	return nil
}

func checkMap(what string, m map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k == "" {
			return invalid("%s with an empty key", what)
		}
		if err := checkLine(what+" key", k, KeySizeMax); err != nil {
			return err
		}
		if err := checkText(what+" "+k, m[k], ValueSizeMax); err != nil {
			return err
		}
	}
	return nil
}

// checkLine reports whether s is UTF-8 text of at most max bytes without
// control characters.
func checkLine(what, s string, max int) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalid("%s has a control character", what)
	}
	return checkText(what, s, max)
}

// checkText reports whether s is UTF-8 text of at most max bytes without NUL.
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

func hexDigits(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, fs.ErrInvalid)...)
}
