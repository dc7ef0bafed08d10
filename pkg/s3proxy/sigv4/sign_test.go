package sigv4

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSignedIsVerified(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.StringN(0, 40, 1024).Draw(rt, "key")
		value := rapid.StringN(0, 40, -1).Draw(rt, "value")
		at := fuzzNow.Add(time.Duration(rapid.IntRange(-840, 840).Draw(rt, "age")) * time.Second)
		s := Signer{ID: exampleID, Secret: exampleSecret, Region: rapid.SampledFrom([]string{"", "eu-west-1"}).Draw(rt, "region")}
		target := "http://s3.test/bucket/" + EscapePath(key) + "?prefix=" + Escape(value)
		r, err := http.NewRequest("GET", target, nil)
		if err != nil {
			rt.Fatal(err)
		}
		if req, err := FromHTTP(r); err != nil || req.Path != "/bucket/"+key || req.Query.Get("prefix") != value {
			rt.Fatalf("%q is read as %+v, %v", target, req, err)
		}
		if err := s.Sign(r, EmptyPayload, at); err != nil {
			rt.Fatal(err)
		}
		if err := check(r, fuzzNow, exampleSecret); err != nil {
			rt.Fatal(err)
		}
		if err := check(r, fuzzNow, "guess"); !errors.Is(err, ErrMismatch) {
			rt.Fatalf("other secret: %v", err)
		}
		r, err = http.NewRequest("GET", target, nil)
		if err != nil {
			rt.Fatal(err)
		}
		u, err := s.Presign(r, time.Hour, fuzzNow.Add(-time.Minute))
		if err != nil {
			rt.Fatal(err)
		}
		if r, err = http.NewRequest("GET", u.String(), nil); err != nil {
			rt.Fatal(err)
		}
		if err := check(r, fuzzNow, exampleSecret); err != nil {
			rt.Fatalf("presigned %s: %v", u, err)
		}
	})
}

func TestPresignRefusesALifeThatServersRefuse(t *testing.T) {
	r := newRequest(t, "GET", exampleURL)
	for _, life := range []time.Duration{-time.Hour, 0, time.Second - 1, 7*24*time.Hour + 1} {
		if u, err := (Signer{}).Presign(r, life, fuzzNow); err == nil {
			t.Errorf("life of %v: got %s", life, u)
		}
	}
}

func TestSignerHidesItsSecret(t *testing.T) {
	s := Signer{ID: "id", Secret: "hush"}
	for _, f := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(f, s); strings.Contains(got, "hush") {
			t.Errorf("%s shows %s", f, got)
		}
	}
}

func TestFromHTTPRefusals(t *testing.T) {
	r := newRequest(t, "GET", exampleURL+"/a?b=%20")
	r.URL.RawQuery = "b=%2"
	if _, err := FromHTTP(r); !errors.Is(err, ErrEncoding) {
		t.Errorf("bad query: got %v, want %v", err, ErrEncoding)
	}
	r = newRequest(t, "OPTIONS", exampleURL)
	r.URL.Path = "*"
	if _, err := FromHTTP(r); !errors.Is(err, ErrEncoding) {
		t.Errorf("path *: got %v, want %v", err, ErrEncoding)
	}
}

func TestEscape(t *testing.T) {
	const unreserved = "ABCXYZabcxyz0189-._~"
	if got := Escape(unreserved); got != unreserved {
		t.Errorf("unreserved bytes become %q", got)
	}
	if got := Escape("a/b +%é\x00"); got != "a%2Fb%20%2B%25%C3%A9%00" {
		t.Errorf("got %q", got)
	}
	if got := EscapePath("/a b/"); got != "/a%20b/" {
		t.Errorf("got %q", got)
	}
}
