package chunk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/restic/chunker"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares got with a file under testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; a format that stores hold must not change:\n%s", path, got)
	}
}

// small are parameters under which little data has many chunks.
func small() Params {
	p := DefaultParams()
	p.MinSize, p.Bits, p.MaxSize = 64, 6, 512
	return p
}

// TestSplitterStability pins where streams are cut: stores depend on it.
func TestSplitterStability(t *testing.T) {
	data := randomBytes(16 << 20)
	copy(data[5<<20:], make([]byte, 3<<20)) // zeros: every window is a boundary
	var out bytes.Buffer
	for _, p := range []Params{DefaultParams(), {algorithmRabin, polynomial1, 4 << 10, 12, 64 << 10}} {
		fmt.Fprintf(&out, "min %d bits %d max %d\n", p.MinSize, p.Bits, p.MaxSize)
		ends := cuts(t, p, data, 0)
		if len(ends) > 100 {
			ends = ends[:100]
		}
		eachChunk(data, ends, func(c []byte) { fmt.Fprintf(&out, "%d %s\n", len(c), Data.Sum(c)) })
	}
	golden(t, "splitter.golden", out.Bytes())
}

func TestSplitterIgnoresSlicing(t *testing.T) {
	data := randomBytes(300 << 10)
	p := Params{algorithmRabin, polynomial1, 1 << 10, 11, 16 << 10}
	want := cuts(t, p, data, 0)
	rng := rand.New(rand.NewPCG(5, 6))
	readers := map[string]io.Reader{
		"bytes":        iotest.OneByteReader(bytes.NewReader(data)),
		"slices":       &slicer{r: bytes.NewReader(data), rng: rng},
		"eof with n":   iotest.DataErrReader(bytes.NewReader(data)),
		"half buffers": iotest.HalfReader(bytes.NewReader(data)),
	}
	for name, r := range readers {
		s, err := p.New(r)
		if err != nil {
			t.Fatal(err)
		}
		end := 0
		for i := 0; ; i++ {
			c, err := s.Next(nil)
			if errors.Is(err, io.EOF) {
				if i != len(want) {
					t.Errorf("%s: %d chunks, want %d", name, i, len(want))
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if end += len(c); end != want[i] {
				t.Fatalf("%s: cut %d at %d, want %d", name, i, end, want[i])
			}
		}
	}
}

// slicer returns slices of random length, at times none.
type slicer struct {
	r   io.Reader
	rng *rand.Rand
}

func (s *slicer) Read(p []byte) (int, error) {
	return s.r.Read(p[:min(len(p), s.rng.IntN(5000))])
}

// TestSplitterResumes: a splitter that starts at a cut finds the same cuts.
func TestSplitterResumes(t *testing.T) {
	data := randomBytes(100 << 10)
	all := cuts(t, small(), data, 0)
	for _, i := range []int{0, 1, 7, len(all) - 2} {
		rest := cuts(t, small(), data[all[i]:], all[i])
		if fmt.Sprint(rest) != fmt.Sprint(all[i+1:]) {
			t.Errorf("other cuts after cut %d", i)
		}
	}
}

func TestSplitterReportsBrokenStreams(t *testing.T) {
	broken := errors.New("broken")
	s, err := small().New(iotest.ErrReader(fmt.Errorf("wrapped: %w", io.EOF)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(nil); errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a wrapped io.EOF is no end of the stream: %v", err)
	}
	for _, want := range []error{broken, io.ErrUnexpectedEOF, io.ErrNoProgress} {
		for _, n := range []int{0, 1, 2000, 600 << 10} {
			r := io.MultiReader(bytes.NewReader(randomBytes(n)), iotest.ErrReader(want))
			if errors.Is(want, io.ErrNoProgress) {
				r = io.MultiReader(bytes.NewReader(randomBytes(n)), stuck{})
			}
			s, err := small().New(r)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = s.Next(nil)
			}
			if !errors.Is(err, want) {
				t.Errorf("%v after %d bytes: got %v", want, n, err)
			}
			if _, err := s.Next(nil); !errors.Is(err, want) {
				t.Errorf("%v, asked again: got %v", want, err)
			}
		}
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestSplitterBounds(t *testing.T) {
	p := small()
	for _, data := range [][]byte{nil, {1}, make([]byte, 100_000), randomBytes(100_000)} {
		ends := cuts(t, p, data, 0)
		var joined []byte
		eachChunk(data, ends, func(c []byte) {
			joined = append(joined, c...)
			if last := len(joined) == len(data); len(c) > p.MaxSize || len(c) == 0 || len(c) < p.MinSize && !last {
				t.Errorf("chunk of %d bytes", len(c))
			}
		})
		if !bytes.Equal(joined, data) {
			t.Error("the chunks are not the stream")
		}
	}
}

func TestParamsValidate(t *testing.T) {
	if err := DefaultParams().Validate(); err != nil {
		t.Fatal(err)
	}
	bad := map[string]func(*Params){
		"algorithm":         func(p *Params) { p.Algorithm = "fastcdc" },
		"no polynomial":     func(p *Params) { p.Polynomial = "" },
		"upper case":        func(p *Params) { p.Polynomial = "230390DB11C723" },
		"leading zero":      func(p *Params) { p.Polynomial = "0" + polynomial1 },
		"reducible":         func(p *Params) { p.Polynomial = "230390db11c725" },
		"degree":            func(p *Params) { p.Polynomial = "7" },
		"below the window":  func(p *Params) { p.MinSize = 63 },
		"negative":          func(p *Params) { p.MinSize = -1 },
		"no bits":           func(p *Params) { p.Bits = 0 },
		"many bits":         func(p *Params) { p.Bits = 24 },
		"max below min":     func(p *Params) { p.MaxSize = p.MinSize },
		"max above SizeMax": func(p *Params) { p.MaxSize = SizeMax + 1 },
	}
	for name, change := range bad {
		p := DefaultParams()
		change(&p)
		if err := p.Validate(); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.New(bytes.NewReader(nil)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: New: %v", name, err)
		}
	}
}

// TestPolynomialProvenance draws the polynomial again, as FORMAT.md says.
func TestPolynomialProvenance(t *testing.T) {
	var seed [32]byte
	copy(seed[:], "dvx chunker polynomial version 1")
	pol, err := chunker.DerivePolynomial(rand.NewChaCha8(seed))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", uint64(pol)); got != polynomial1 || !pol.Irreducible() || pol.Deg() != degree {
		t.Errorf("drew %s, not %s", got, polynomial1)
	}
}

// TestSplitterIsAsDocumented cuts by FORMAT.md alone.
func TestSplitterIsAsDocumented(t *testing.T) {
	p := small()
	data := randomBytes(30_000)
	clear(data[10_000:11_000])
	pol := chunker.Pol(0x230390db11c723)
	var want []int
	start := 0
	for i := range data {
		n := i + 1 - start
		if n < p.MinSize {
			continue
		}
		var fp chunker.Pol
		for _, b := range data[i+1-windowSize : i+1] {
			fp = (fp<<8 | chunker.Pol(b)).Mod(pol)
		}
		if fp&(1<<p.Bits-1) == 0 || n == p.MaxSize {
			start = i + 1
			want = append(want, start)
		}
	}
	if start < len(data) {
		want = append(want, len(data))
	}
	if got := cuts(t, p, data, 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("cut at %v, FORMAT.md says %v", got, want)
	}
}
