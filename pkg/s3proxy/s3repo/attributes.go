package s3repo

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// The names under which attributes of an object that directories have no field
// for are kept among the headers; FORMAT.md describes the values.
const (
	tagsHeader     = "x-amz-tagging"
	checksumHeader = "x-dvx-checksum"
	partsHeader    = "x-dvx-parts"
)

// partRunsMax bounds the runs of equal parts that are kept with an object:
// attributes are small. An upload with more is an object of unknown parts.
const partRunsMax = 32

// encodeAttributes returns what is kept with an object in its directory.
func encodeAttributes(a s3proxy.Attributes, sum s3proxy.Checksum, parts []s3proxy.Part) tree.Attrs {
	h := map[string]string{
		"cache-control": a.CacheControl, "content-disposition": a.ContentDisposition,
		"content-encoding": a.ContentEncoding, "content-language": a.ContentLanguage, "expires": a.Expires,
		checksumHeader: encodeChecksum(sum), partsHeader: encodeParts(parts),
	}
	if len(a.Tags) > 0 {
		q := url.Values{}
		for name, value := range a.Tags {
			q.Set(name, value)
		}
		h[tagsHeader] = q.Encode()
	}
	for name, value := range h {
		if value == "" {
			delete(h, name)
		}
	}
	out := tree.Attrs{ContentType: a.ContentType, Meta: a.Meta}
	if len(h) > 0 {
		out.Headers = h
	}
	return out
}

// decodeAttributes is the reverse of encodeAttributes.
func decodeAttributes(a *tree.Attrs) s3proxy.Attributes {
	out := s3proxy.Attributes{
		ContentType: a.ContentType, CacheControl: a.Headers["cache-control"],
		ContentDisposition: a.Headers["content-disposition"], ContentEncoding: a.Headers["content-encoding"],
		ContentLanguage: a.Headers["content-language"], Expires: a.Headers["expires"], Meta: a.Meta,
	}
	if q, err := url.ParseQuery(a.Headers[tagsHeader]); err == nil && len(q) > 0 {
		out.Tags = map[string]string{}
		for name := range q {
			out.Tags[name] = q.Get(name)
		}
	}
	return out
}

func encodeChecksum(c s3proxy.Checksum) string {
	if c.Algorithm == "" {
		return ""
	}
	kind := "full"
	if c.Composite {
		kind = "composite"
	}
	return strings.TrimSpace(string(c.Algorithm) + " " + kind + " " + c.Value)
}

// decodeChecksum reads what encodeChecksum writes; what it does not know is no
// checksum.
func decodeChecksum(v string) s3proxy.Checksum {
	f := strings.Fields(v)
	if len(f) < 2 {
		return s3proxy.Checksum{}
	}
	c := s3proxy.Checksum{Algorithm: s3proxy.Algorithm(f[0]), Composite: f[1] == "composite"}
	if len(f) > 2 {
		c.Value = f[2]
	}
	return c
}

// encodeParts writes the numbers and sizes of parts as runs of equal ones.
func encodeParts(parts []s3proxy.Part) string {
	var runs []string
	for i := 0; i < len(parts); {
		n := 1
		for i+n < len(parts) && parts[i+n].Size == parts[i].Size && parts[i+n].Number == parts[i].Number+n {
			n++
		}
		runs = append(runs, fmt.Sprintf("%d*%d@%d", parts[i].Size, n, parts[i].Number))
		i += n
	}
	if len(runs) > partRunsMax {
		return ""
	}
	return strings.Join(runs, ",")
}

// decodeParts reads what encodeParts writes, if the parts make up size bytes.
func decodeParts(v string, size int64) []s3proxy.Part {
	var parts []s3proxy.Part
	if v == "" {
		return nil
	}
	for run := range strings.SplitSeq(v, ",") {
		length, rest, _ := strings.Cut(run, "*")
		count, first, _ := strings.Cut(rest, "@")
		bytes, err1 := strconv.ParseInt(length, 10, 64)
		n, err2 := strconv.Atoi(count)
		from, err3 := strconv.Atoi(first)
		if err1 != nil || err2 != nil || err3 != nil || n < 1 || n > 10_000-len(parts) || from < 1 || bytes < 0 {
			return nil
		}
		for i := range n {
			parts = append(parts, s3proxy.Part{Number: from + i, Size: bytes})
		}
	}
	for _, p := range parts {
		size -= p.Size
	}
	if size != 0 {
		return nil
	}
	return parts
}
