package datum

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// ValueSizeMax bounds the text of an input that is a value, in bytes.
const ValueSizeMax = 4096

// Values returns the values that a datum's inputs give to parameters: the text
// of the one file that such an input selects, less a line break at its end. It
// fails with fs.ErrInvalid if there is no such text.
func Values(ctx context.Context, r chunk.Reader, d Datum) (map[string]string, error) {
	var values map[string]string
	for _, in := range d.Inputs {
		if in.Value == "" {
			continue
		}
		bad := func(format string, args ...any) error {
			return fmt.Errorf("value %s of input %s: %s: %w", in.Value, in.Name, fmt.Sprintf(format, args...), fs.ErrInvalid)
		}
		if len(in.Items) != 1 || in.Items[0].Entry.Kind != tree.File {
			return nil, bad("want one file, found %d files and directories", len(in.Items))
		}
		c := in.Items[0].Entry.Content
		if c.Size > ValueSizeMax {
			return nil, bad("%d bytes exceed the limit of %d", c.Size, ValueSizeMax)
		}
		text, err := readText(ctx, r, c)
		if err != nil {
			return nil, fmt.Errorf("value %s of input %s: %w", in.Value, in.Name, err)
		}
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return nil, bad("it is no text")
		}
		if values == nil {
			values = map[string]string{}
		}
		values[in.Value] = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	}
	return values, nil
}

func readText(ctx context.Context, r chunk.Reader, c chunk.Content) (string, error) {
	f, err := chunk.OpenContent(ctx, r, c)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(f)
	_ = f.Close() // it was read whole
	return string(b), err
}
