package sigv4

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var fuzzNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// wireRequest is a request as text, which mutates well.
type wireRequest struct{ method, host, target, headers string }

// parse returns the request as net/http would, or nil if it would refuse it.
func (w wireRequest) parse() *http.Request {
	u, err := url.ParseRequestURI(w.target)
	if err != nil {
		return nil
	}
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(w.headers + "\r\n"))).ReadMIMEHeader()
	if err != nil {
		return nil
	}
	return &http.Request{Method: w.method, Host: w.host, URL: u, Header: http.Header(h)}
}

// meaning is all of a request that a server acts on and a signature has to
// protect.
func meaning(r *Request) string {
	q := slices.Clone(r.Query)
	slices.SortStableFunc(q, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	var amz []string
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") {
			for _, v := range values {
				amz = append(amz, name+": "+strings.Join(strings.Fields(v), " "))
			}
		}
	}
	slices.Sort(amz)
	return fmt.Sprintf("%q %q %q %q %q", r.Method, strings.TrimSpace(r.Host), r.Path, q, amz)
}

// signedSeeds returns well-signed requests and what they mean.
func signedSeeds(t testing.TB) ([]wireRequest, map[string]bool) {
	t.Helper()
	s := Signer{ID: exampleID, Secret: exampleSecret}
	var seeds []wireRequest
	meanings := map[string]bool{}
	add := func(r *http.Request, target string) {
		var headers strings.Builder
		if err := r.Header.Write(&headers); err != nil {
			t.Fatal(err)
		}
		w := wireRequest{r.Method, r.Host, target, headers.String()}
		req, err := FromHTTP(w.parse())
		if err != nil {
			t.Fatal(err)
		}
		seeds, meanings[meaning(req)] = append(seeds, w), true
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		for _, target := range []string{"/bucket/key", "/bucket/a%20b+c%252F/%C3%A9", "/?list-type=2&prefix=a%20b&delimiter=%2F", "//x/../y?acl"} {
			r := newRequest(t, method, "http://s3.test"+target, "Range: bytes=0-9", "X-Amz-Meta-A: one two")
			if err := s.Sign(r, EmptyPayload, fuzzNow); err != nil {
				t.Fatal(err)
			}
			add(r, target)
			r = newRequest(t, method, "http://s3.test"+target)
			u, err := s.Presign(r, time.Hour, fuzzNow)
			if err != nil {
				t.Fatal(err)
			}
			add(r, u.RequestURI())
		}
	}
	return seeds, meanings
}

// checkMutated fails if a request is accepted that means something that
// nobody has signed.
func checkMutated(t *testing.T, w wireRequest, meanings map[string]bool) (accepted bool) {
	t.Helper()
	r := w.parse()
	if r == nil || check(r, fuzzNow, exampleSecret) != nil {
		return false
	}
	req, err := FromHTTP(r)
	if err != nil {
		t.Fatal(err)
	}
	if !meanings[meaning(req)] {
		t.Fatalf("accepted, though never signed: %+v", w)
	}
	return true
}

func FuzzVerify(f *testing.F) {
	seeds, meanings := signedSeeds(f)
	for _, w := range seeds {
		f.Add(w.method, w.host, w.target, w.headers)
	}
	f.Fuzz(func(t *testing.T, method, host, target, headers string) {
		checkMutated(t, wireRequest{method, host, target, headers}, meanings)
	})
}

// TestMutatedRequestsAreNeverAccepted changes signed requests a little.
func TestMutatedRequestsAreNeverAccepted(t *testing.T) {
	seeds, meanings := signedSeeds(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, w := range seeds {
		if !checkMutated(t, w, meanings) {
			t.Fatalf("not accepted as signed: %+v", w)
		}
	}
	same, tries := 0, 50_000
	if n, err := strconv.Atoi(os.Getenv("DVX_SEEDS")); err == nil {
		tries = 2000 * n // a million at the default effort of make seeds
	}
	for range tries {
		w := seeds[rng.IntN(len(seeds))]
		part := []*string{&w.method, &w.host, &w.target, &w.target, &w.headers, &w.headers}[rng.IntN(6)]
		*part = mutate(rng, *part)
		if checkMutated(t, w, meanings) {
			same++ // another spelling of what was signed, as "%7E" is of "~"
		}
	}
	if same > tries/10 {
		t.Errorf("%d of %d mutations do not change the meaning: the mutations are too weak", same, tries)
	}
}

func mutate(rng *rand.Rand, s string) string {
	if s == "" {
		return "x"
	}
	i := rng.IntN(len(s))
	switch rng.IntN(5) {
	case 0:
		return s[:i] + s[i+1:]
	case 1:
		return s[:i] + string(rune(' '+rng.IntN(95))) + s[i+1:]
	case 2:
		return s[:i] + string(rune(' '+rng.IntN(95))) + s[i:]
	case 3:
		j := i + rng.IntN(len(s)-i)
		return s[:j] + s[i:]
	default:
		extra := []string{"&acl", "?versionId=1", "%2F", "/..", "X-Amz-Acl: public-read\r\n", "X-Amz-Date: 20261121T120000Z\r\n", "&X-Amz-Expires=9"}
		return s[:i] + extra[rng.IntN(len(extra))] + s[i:]
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{"", "a", "a=b", "a=b&a=c", "&&=", "a%20b=c+d", "%zz", "é=ü", "a=b=c;d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := ParseQuery(raw)
		if err != nil {
			return
		}
		canonical := q.canonical("")
		again, err := ParseQuery(canonical)
		if err != nil || again.canonical("") != canonical {
			t.Fatalf("%q: canonical %q is read as %q, %v", raw, canonical, again.canonical(""), err)
		}
		for _, p := range q {
			if p.Name != "" && !slices.Contains(again, p) {
				t.Fatalf("%q: %+v is lost in %q", raw, p, canonical)
			}
		}
	})
}
