package spec

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// workParts is what the key covers besides the fields of the spec.
var workParts = []struct{ name, why string }{
	{"runtime", "what executes the command: image digest, or host and executables with their digests"},
	{"code tree", "its content ID"},
	{"platform", "programs may behave differently on another"},
	{"ABI", "version of the contract between dvx and the program"},
	{"item paths", "the program sees them"},
	{"item content", "the program reads it"},
	{"item executable bit", "the program sees it"},
}

func keyTable() string {
	var b strings.Builder
	b.WriteString("# Every field of a pipeline spec: whether the memo key covers it, why, and whether it is built.\n")
	b.WriteString("# \"content\": not the value counts but the content that it selects.\n\n")
	row := func(cells ...any) { fmt.Fprintf(&b, "%-30s | %-7s | %-22s | %s\n", cells...) }
	row("field", "in key?", "state", "why")
	row(strings.Repeat("-", 30), "-------", strings.Repeat("-", 22), "---")
	for _, f := range fieldRows {
		state := "built"
		switch f.shape {
		case unbuilt:
			state = "not supported yet"
		default:
		}
		row(f.path, string(f.key), state, f.why)
	}
	b.WriteString("\n# What the key covers that is in no field.\n\n")
	for _, p := range workParts {
		row(p.name, string(keyYes), "built", p.why)
	}
	return b.String()
}

func TestKeyTableGolden(t *testing.T) { golden(t, "testdata/key_table.golden", []byte(keyTable())) }

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s (-want +got):\n%s", file, cmp.Diff(string(want), string(got)))
	}
}

// TestUnbuiltFieldsAreRefused: what the table says is not built, is not dropped
// in silence.
func TestUnbuiltFieldsAreRefused(t *testing.T) {
	for _, f := range fieldRows {
		if f.shape == unbuilt {
			refusesField(t, f.path, "{}")
		}
	}
}

// refusesField parses a spec that uses a field which is not built.
func refusesField(t *testing.T, path, value string) {
	t.Helper()
	doc := value
	names := strings.Split(path, ".")
	for i := len(names) - 1; i > 0; i-- {
		doc = fmt.Sprintf("{%s: %s}", names[i], doc)
	}
	doc = fmt.Sprintf("%s: %s\n", names[0], doc)
	_, err := Parse("s.yaml", []byte(doc))
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), fmt.Sprintf("field %q", names[0])) &&
		!strings.Contains(err.Error(), fmt.Sprintf("field %q", path)) || !strings.Contains(err.Error(), "not supported yet") {
		t.Errorf("%s: error %v, want \"not supported yet\"", path, err)
	}
}
