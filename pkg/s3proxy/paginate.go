package s3proxy

import (
	"iter"
	"strings"
)

// Walk yields the objects of a bucket in byte order of their keys, beginning
// with the first key that is not less than from. It may be called again with
// a greater from, to skip; an error ends the walk.
type Walk func(from string) iter.Seq2[ObjectInfo, error]

// Paginate makes the page that q asks for from an ordered walk. It starts one
// walk for the page and one more for each common prefix, and reads at most one
// object beyond the page.
func Paginate(q ListQuery, walk Walk) (ListPage, error) {
	var page ListPage
	if q.MaxKeys <= 0 {
		return page, nil
	}
	from, ok := firstKey(q)
	for ok {
		ok = false
		for info, err := range walk(from) {
			if err != nil {
				return ListPage{}, err
			}
			if !strings.HasPrefix(info.Key, q.Prefix) {
				break
			}
			if len(page.Objects)+len(page.CommonPrefixes) == q.MaxKeys {
				page.Truncated = true
				break
			}
			common := commonPrefix(q, info.Key)
			if common != "" {
				page.CommonPrefixes = append(page.CommonPrefixes, common)
				from, ok = behind(common)
				break
			}
			page.Objects = append(page.Objects, info)
		}
	}
	return page, nil
}

// firstKey returns the least key that may belong to the page, and false if
// there can be none.
func firstKey(q ListQuery) (string, bool) {
	if q.StartAfter < q.Prefix {
		return q.Prefix, true
	}
	if common := commonPrefix(q, q.StartAfter); common != "" {
		return behind(common)
	}
	return q.StartAfter + "\x00", true
}

// commonPrefix returns what key is rolled up into, or "".
func commonPrefix(q ListQuery, key string) string {
	rest, ok := strings.CutPrefix(key, q.Prefix)
	if !ok || q.Delimiter == "" {
		return ""
	}
	i := strings.Index(rest, q.Delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(q.Prefix)+i+len(q.Delimiter)]
}

// behind returns the least string that is greater than every string beginning
// with prefix, and false if there is none.
func behind(prefix string) (string, bool) {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1}), true
		}
	}
	return "", false
}
