package s3proxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// objectAttributes are what GetObjectAttributes can be asked for.
var objectAttributes = []string{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}

func (x *exchange) getObjectAttributes() error {
	asked, err := x.askedAttributes()
	if err != nil {
		return err
	}
	limit, after, err := x.partWindow()
	if err != nil {
		return err
	}
	o, err := x.open()
	if err != nil {
		return err
	}
	info := o.Info()
	x.closed(o.Close())
	if err := checkConditions(x.r.Header, info); err != nil {
		return err
	}
	x.w.Header().Set("Last-Modified", info.LastModified.UTC().Format(http.TimeFormat))
	x.showVersion(info.VersionID)
	const root = "GetObjectAttributesResponse"
	d := newDocument(root)
	if asked["ETag"] {
		d.text("ETag", info.ETag)
	}
	if asked["Checksum"] && info.Checksum.Algorithm != "" {
		d.open("Checksum")
		d.checksum(info.Checksum)
		d.text("ChecksumType", info.Checksum.kind())
		d.close("Checksum")
	}
	if asked["ObjectParts"] && len(info.Parts) > 0 {
		d.objectParts(info.Parts, limit, after)
	}
	if asked["StorageClass"] {
		d.text("StorageClass", storageClass(info))
	}
	if asked["ObjectSize"] {
		d.int("ObjectSize", info.Size)
	}
	x.finish(d, root)
	return nil
}

// askedAttributes reads the header that names what to answer with.
func (x *exchange) askedAttributes() (map[string]bool, error) {
	asked := map[string]bool{}
	for v := range strings.SplitSeq(strings.Join(x.r.Header["X-Amz-Object-Attributes"], ","), ",") {
		v = strings.TrimSpace(v)
		if !slices.Contains(objectAttributes, v) {
			return nil, failf(codeInvalidArgument, "Invalid attribute name specified.")
		}
		asked[v] = true
	}
	return asked, nil
}

// partWindow reads which parts to answer with.
func (x *exchange) partWindow() (limit, after int, err error) {
	limit = maxKeys
	for _, f := range []struct {
		header string
		value  *int
	}{{"X-Amz-Max-Parts", &limit}, {"X-Amz-Part-Number-Marker", &after}} {
		v := x.r.Header.Get(f.header)
		if v == "" {
			continue
		}
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 0 {
			return 0, 0, failf(codeInvalidArgument, "Argument %s must be an integer between 0 and 2147483647", strings.ToLower(f.header))
		}
		*f.value = int(n)
	}
	return min(limit, maxKeys), after, nil
}

func (d *document) objectParts(parts []Part, limit, after int) {
	total := len(parts)
	from, _ := slices.BinarySearchFunc(parts, after+1, func(p Part, n int) int { return p.Number - n })
	parts = parts[from:]
	shown := parts[:min(limit, len(parts))]
	next := 0
	if len(shown) > 0 {
		next = shown[len(shown)-1].Number
	}
	d.open("ObjectParts")
	d.int("PartsCount", int64(total))
	d.int("PartNumberMarker", int64(after))
	d.int("NextPartNumberMarker", int64(next))
	d.int("MaxParts", int64(limit))
	d.bool("IsTruncated", len(shown) < len(parts))
	for _, p := range shown {
		d.open("Part")
		d.int("PartNumber", int64(p.Number))
		d.int("Size", p.Size)
		d.checksum(p.Checksum)
		d.close("Part")
	}
	d.close("ObjectParts")
}

// checksum writes a checksum, if there is one.
func (d *document) checksum(c Checksum) {
	if c.Algorithm != "" {
		d.text(c.Algorithm.element(), c.Value)
	}
}

// listedChecksum writes which checksum an object has, as lists do.
func (d *document) listedChecksum(c Checksum) {
	if c.Algorithm != "" {
		d.text("ChecksumAlgorithm", string(c.Algorithm))
		d.text("ChecksumType", c.kind())
	}
}
