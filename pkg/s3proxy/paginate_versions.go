package s3proxy

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// PaginateUploads makes the page that q asks for from all uploads of a bucket,
// in any order.
func PaginateUploads(q UploadQuery, all []Upload) UploadPage {
	all = slices.DeleteFunc(slices.Clone(all), func(u Upload) bool {
		return !strings.HasPrefix(u.Key, q.Prefix) || !q.wants(u)
	})
	slices.SortFunc(all, func(a, b Upload) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID))
	})
	var page UploadPage
	if q.Max <= 0 {
		return page
	}
	roll := ListQuery{Prefix: q.Prefix, Delimiter: q.Delimiter}
	last := ""
	for _, u := range all {
		common := commonPrefix(roll, u.Key)
		switch {
		case common != "" && (common == last || common <= q.KeyMarker):
		case len(page.Uploads)+len(page.CommonPrefixes) == q.Max:
			page.Truncated = true
			return page
		case common != "":
			last = common
			page.CommonPrefixes = append(page.CommonPrefixes, common)
		default:
			page.Uploads = append(page.Uploads, u)
		}
	}
	return page
}

// wants tells whether an upload lies behind the query's markers.
func (q UploadQuery) wants(u Upload) bool {
	return u.Key > q.KeyMarker || u.Key == q.KeyMarker && q.IDMarker != "" && u.ID > q.IDMarker
}

// PaginateVersions makes the page that q asks for from a walk over versions in
// order of key and then from the newest to the oldest. The walk may begin with
// any key up to the first that q can have; it is ended behind the page.
func PaginateVersions(q VersionQuery, walk iter.Seq2[Version, error]) (VersionPage, error) {
	var page VersionPage
	if q.MaxKeys <= 0 {
		return page, nil
	}
	roll := ListQuery{Prefix: q.Prefix, Delimiter: q.Delimiter}
	marked := false // the version that the marker names has been passed
	last := ""
	for v, err := range walk {
		if err != nil {
			return VersionPage{}, err
		}
		common := commonPrefix(roll, v.Key)
		switch {
		case v.Key < q.KeyMarker, !strings.HasPrefix(v.Key, q.Prefix):
		case v.Key == q.KeyMarker && (q.VersionMarker == "" || !marked):
			marked = marked || v.VersionID == q.VersionMarker
		case v.Hidden:
		case common != "" && (common == last || common <= q.KeyMarker):
		case len(page.Versions)+len(page.CommonPrefixes) == q.MaxKeys:
			page.Truncated = true
			return page, nil
		case common != "":
			last = common
			page.CommonPrefixes = append(page.CommonPrefixes, common)
			page.NextKey, page.NextVersion = common, ""
		default:
			page.Versions = append(page.Versions, v)
			page.NextKey, page.NextVersion = v.Key, v.VersionID
		}
	}
	page.NextKey, page.NextVersion = "", ""
	return page, nil
}
