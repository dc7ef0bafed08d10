package s3proxy

import (
	"bytes"
	"encoding/base64"
	"testing"

	"pgregory.net/rapid"
)

// TestJoinedChecksums compares checksums joined from those of parts with those
// of the whole.
func TestJoinedChecksums(t *testing.T) {
	for _, a := range algorithms {
		if a.poly == 0 {
			continue
		}
		sum := func(b []byte) string {
			h := a.new()
			h.Write(b)
			return base64.StdEncoding.EncodeToString(h.Sum(nil))
		}
		rapid.Check(t, func(rt *rapid.T) {
			var whole []byte
			var parts []Part
			for range rapid.IntRange(1, 5).Draw(rt, "parts") {
				b := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(rt, "bytes"), rapid.IntRange(0, 3000).Draw(rt, "times"))
				whole = append(whole, b...)
				parts = append(parts, Part{Size: int64(len(b)), Checksum: Checksum{Algorithm: a.name, Value: sum(b)}})
			}
			if got, err := a.join(parts); err != nil || got != sum(whole) {
				rt.Fatalf("%s: got %s, %v, want %s", a.name, got, err, sum(whole))
			}
		})
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`<Delete><Quiet>true</Quiet><Object><Key>a</Key><VersionId>b</VersionId></Object></Delete>`))
	f.Add([]byte(`<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"x"</ETag></Part></CompleteMultipartUpload>`))
	f.Add([]byte(`<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>`))
	f.Add([]byte(`<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><Delete>&b;</Delete>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if what, _, err := parseDeletions(doc); err == nil {
			if len(what) == 0 || len(what) > maxDeletions || what[0].Key == "" {
				t.Fatalf("deletes %d keys", len(what))
			}
		}
		if parts, err := parseCompletion(doc); err == nil {
			for i, p := range parts {
				if p.PartNumber < 1 || p.PartNumber > maxParts || i > 0 && p.PartNumber <= parts[i-1].PartNumber {
					t.Fatalf("completes with part %d", p.PartNumber)
				}
			}
		}
		if tags, err := parseTags(doc, maxObjectTags); err == nil && len(tags) > maxObjectTags {
			t.Fatalf("%d tags", len(tags))
		}
		if rules, err := parseCORS(doc); err == nil && (len(rules) == 0 || len(rules[0].Origins) == 0) {
			t.Fatal("rules without an origin")
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`{"expiration":"2026-11-21T13:00:00Z","conditions":[{"bucket":"b"},["starts-with","$key","a/"],["content-length-range",1,"10"]]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		_, conds, limits, err := parsePolicy(doc)
		if err != nil {
			return
		}
		if limits.low < 0 || limits.high > maxPutBytes {
			t.Fatalf("limits %v", limits)
		}
		for _, c := range conds {
			if c.verb != "eq" && c.verb != "starts-with" {
				t.Fatalf("verb %q", c.verb)
			}
		}
	})
}
