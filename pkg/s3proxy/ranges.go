package s3proxy

import (
	"fmt"
	"strconv"
	"strings"
)

// span is the part of an object that an answer holds.
type span struct {
	offset, length int64
	partial        bool // answered as 206 with a Content-Range
}

// contentRange is the Content-Range of a partial answer.
func (s span) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.offset, s.offset+s.length-1, size)
}

// parseRange reads a Range header for an object of size bytes. As S3 does, it
// answers with the whole object to what it does not understand, and to a
// request for several ranges.
func parseRange(header string, size int64) (span, error) {
	whole := span{length: size}
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return whole, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !isDigits(first) || !isDigits(last) || first+last == "" {
		return whole, nil
	}
	from, to := int64(0), size-1
	switch {
	case first == "":
		n := parseClamped(last)
		if n == 0 || size == 0 {
			return span{}, unsatisfiable(header, size)
		}
		from = max(0, size-n)
	case last == "":
		from = parseClamped(first)
	default:
		from, to = parseClamped(first), parseClamped(last)
		if to < from {
			return whole, nil
		}
		to = min(to, size-1)
	}
	if from >= size {
		return span{}, unsatisfiable(header, size)
	}
	return span{offset: from, length: to - from + 1, partial: true}, nil
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// parseClamped reads digits; what does not fit counts as the greatest number.
func parseClamped(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64) // clamps when out of range
	return n
}

func unsatisfiable(header string, size int64) error {
	f := fail(codeInvalidRange)
	f.fields = []field{{"RangeRequested", header}, {"ActualObjectSize", strconv.FormatInt(size, 10)}}
	f.headers = []field{{"Content-Range", fmt.Sprintf("bytes */%d", size)}}
	return f
}
