package spec

import (
	"slices"
	"strings"
)

// fieldRow is one field of the spec's format: one row of the table that says
// what is in the memo key and what is built.
type fieldRow struct {
	path  string // dotted
	shape shape  // 0: not supported yet
	key   inKey
	why   string
}

// shape says what the value of a field looks like.
type shape uint8

const (
	unbuilt       shape = iota
	shapeObject         // fields of its own
	shapeText           // one text
	shapeQuantity       // one text, or a number as typed
	shapeTime           // one duration
	shapeNumber         // one whole number
	shapeShare          // one whole number, or a percentage
	shapeFlag           // true or false
	shapeTexts          // a list of texts; numbers and booleans stand for themselves as typed
	shapeNumbers        // a list of whole numbers
	shapeDict           // names with texts; numbers and booleans stand for themselves as typed
	shapeCounts         // names with whole numbers
	shapeLists          // names with lists of texts
	shapeValues         // names with texts or lists of texts
	shapeInputs         // a list of inputs
)

// inKey says whether the value of a field is part of the memo key.
type inKey string

const (
	keyYes     inKey = "yes"
	keyNo      inKey = "no"
	keyContent inKey = "content" // not the value, but the content that it names
	keyBelow   inKey = "-"       // see the fields below it
)

// fieldRows is every field of the format, built or not. A field that is not
// here is unknown.
var fieldRows = []fieldRow{
	{"pipeline", shapeText, keyNo, "a name: renamed or re-created, a pipeline does the same work"},
	{"description", shapeText, keyNo, "for people"},
	{"transform", shapeObject, keyBelow, ""},
	{"transform.image", shapeText, keyContent, "the image decides what runs; its digest counts, never its tag"},
	{"transform.cmd", shapeTexts, keyYes, "it is what runs"},
	{"transform.stdin", shapeTexts, keyYes, "the program reads it"},
	{"transform.env", shapeDict, keyYes, "the program sees it"},
	{"transform.secrets", unbuilt, keyYes, "the program sees them; their versions count"},
	{"transform.code", shapeObject, keyBelow, ""},
	{"transform.code.path", shapeText, keyContent, "the tree of the folder counts, not where it lies"},
	{"transform.code.ignore", shapeTexts, keyContent, "ignored files are not in the tree"},
	{"transform.code.none", shapeFlag, keyContent, "without a tree the program sees none"},
	{"transform.working_dir", shapeText, keyYes, "the program starts there"},
	{"transform.user", unbuilt, keyYes, "the program sees as whom it runs"},
	{"transform.err_cmd", shapeTexts, keyNo, "only results of the program itself are recorded"},
	{"transform.accept_return_code", shapeNumbers, keyNo, "a result counts if its own exit status is accepted now"},
	{"input", shapeObject, keyBelow, ""},
	{"input.repo", shapeText, keyContent, "only what is selected counts, wherever it comes from"},
	{"input.name", shapeText, keyYes, "the program sees it: in/NAME"},
	{"input.branch", shapeText, keyContent, "only what is selected counts, wherever it comes from"},
	{"input.glob", shapeText, keyContent, "it decides which datums there are; a datum's paths and content count"},
	{"input.join_on", shapeText, keyContent, "it decides which datums there are; a datum's paths and content count"},
	{"input.outer_join", shapeFlag, keyContent, "it decides which datums there are; a datum's paths and content count"},
	{"input.group_by", shapeText, keyContent, "it decides which datums there are; a datum's paths and content count"},
	{"input.lazy", shapeFlag, keyYes, "the program gets pipes in place of files"},
	{"input.empty_files", shapeFlag, keyYes, "the program sees names without bytes; the content counts too, since outputs may link to it"},
	{"input.reference", shapeFlag, keyContent, "what a datum ran with counts; a later change runs nothing again"},
	{"input.value", shapeText, keyYes, "the program sees the text as a parameter of that name; the content counts too"},
	{"input.cron", shapeObject, keyBelow, ""},
	{"input.cron.spec", shapeText, keyContent, "the times that it made count, as files"},
	{"input.cron.time_zone", shapeText, keyContent, "the times that it made count, as files"},
	{"input.cron.start", shapeText, keyContent, "the times that it made count, as files"},
	{"input.cron.overwrite", shapeFlag, keyContent, "the times that it made count, as files"},
	{"input.cron.missed", shapeText, keyContent, "the times that it made count, as files"},
	{"input.url", shapeText, keyContent, "what was fetched counts, wherever it comes from"},
	{"input.every", shapeTime, keyContent, "what was fetched counts, whenever that was"},
	{"input.cross", shapeInputs, keyContent, "the items of the datum count"},
	{"input.union", shapeInputs, keyContent, "the items of the datum count"},
	{"input.join", shapeInputs, keyContent, "the items of the datum count"},
	{"input.group", shapeInputs, keyContent, "the items of the datum count"},
	{"commits", shapeText, keyNo, "which versions are evaluated, not what comes of them"},
	{"output_branch", unbuilt, keyNo, "a name"},
	{"parameters", shapeValues, keyYes, "the program sees them"},
	{"sweep", shapeLists, keyYes, "the program sees the values of its setting, as parameters"},
	{"parallelism", shapeObject, keyBelow, ""},
	{"parallelism.min", unbuilt, keyNo, "how fast, not what"},
	{"parallelism.max", shapeNumber, keyNo, "how fast, not what"},
	{"datum", shapeObject, keyBelow, ""},
	{"datum.tries", shapeNumber, keyNo, "only results that succeeded are recorded"},
	{"datum.backoff", shapeTime, keyNo, "only results that succeeded are recorded"},
	{"datum.retry_on", shapeTexts, keyNo, "only results that succeeded are recorded"},
	{"datum.crash_tries", shapeNumber, keyNo, "only results that succeeded are recorded"},
	{"datum.max_output", shapeQuantity, keyNo, "only results that succeeded are recorded"},
	{"datum.timeout", shapeTime, keyNo, "only results that succeeded are recorded"},
	{"datum.set_size", shapeNumber, keyNo, "how fast, not what"},
	{"datum.order", unbuilt, keyNo, "in which order, not what"},
	{"datum.batch", shapeFlag, keyYes, "the program is called in another way"},
	{"growth", shapeObject, keyBelow, ""},
	{"growth.depth", shapeNumber, keyNo, "how many datums a job may have, not what one gives"},
	{"growth.max", shapeNumber, keyNo, "how many datums a job may have, not what one gives"},
	{"job_timeout", shapeTime, keyNo, "only results that succeeded are recorded"},
	{"max_failed", shapeShare, keyNo, "what a job makes of its failures, not what a datum gives"},
	{"resource_requests", shapeObject, keyBelow, ""},
	{"resource_requests.cpu", shapeQuantity, keyNo, "how fast, not what"},
	{"resource_requests.memory", shapeQuantity, keyNo, "how fast, not what"},
	{"resource_limits", shapeObject, keyBelow, ""},
	{"resource_limits.cpu", shapeQuantity, keyNo, "how fast, not what"},
	{"resource_limits.memory", shapeQuantity, keyNo, "how fast, not what"},
	{"scheduling", shapeObject, keyBelow, ""},
	{"scheduling.node_selector", unbuilt, keyNo, "where, not what"},
	{"scheduling.tolerations", unbuilt, keyNo, "where, not what"},
	{"scheduling.priority", shapeNumber, keyNo, "when, not what"},
	{"service_account", unbuilt, keyNo, "as whom the worker runs; the program has no credential"},
	{"schedule", unbuilt, keyNo, "when, not what"},
	{"schedule.cron", unbuilt, keyNo, "when, not what"},
	{"schedule.time_zone", unbuilt, keyNo, "when, not what"},
	{"schedule.catch_up", unbuilt, keyNo, "when, not what"},
	{"schedule.overlap", unbuilt, keyNo, "when, not what"},
	{"trigger", unbuilt, keyNo, "when, not what"},
	{"trigger.commits", unbuilt, keyNo, "when, not what"},
	{"trigger.bytes", unbuilt, keyNo, "when, not what"},
	{"trigger.cron", unbuilt, keyNo, "when, not what"},
	{"trigger.all", unbuilt, keyNo, "when, not what"},
	{"trigger.any", unbuilt, keyNo, "when, not what"},
	{"checks", unbuilt, keyNo, "they look at results"},
	{"checks.rows", unbuilt, keyNo, "they look at results"},
	{"checks.files", unbuilt, keyNo, "they look at results"},
	{"checks.null_share", unbuilt, keyNo, "they look at results"},
	{"checks.volume_drift", unbuilt, keyNo, "they look at results"},
	{"checks.program", unbuilt, keyNo, "they look at results"},
	{"deadline", unbuilt, keyNo, "when, not what"},
	{"deadline.by", unbuilt, keyNo, "when, not what"},
	{"deadline.time_zone", unbuilt, keyNo, "when, not what"},
	{"deadline.notify", unbuilt, keyNo, "whom to tell"},
	{"notify", unbuilt, keyNo, "whom to tell"},
	{"partial_results", shapeTime, keyNo, "when results can be seen, not what they are"},
	{"hooks", shapeObject, keyBelow, ""},
	{"hooks.on_success", shapeTexts, keyNo, "they run beside the work"},
	{"hooks.on_failure", shapeTexts, keyNo, "they run beside the work"},
	{"hooks.on_exit", shapeTexts, keyNo, "they run beside the work"},
	{"concurrency", shapeCounts, keyNo, "when, not what"},
	{"egress", unbuilt, keyNo, "what is done with a result"},
	{"cache", shapeText, keyNo, "whether results are looked up, not what they are"},
	{"reprocess", shapeText, keyYes, "the salt: changing it runs everything again"},
	{"autoscaling", unbuilt, keyNo, "how fast, not what"},
	{"s3", unbuilt, keyYes, "the program gets its inputs in another way"},
	{"metadata", shapeDict, keyNo, "for people and other programs"},
}

// fieldAt returns the field of a dotted path.
func fieldAt(path string) (fieldRow, bool) {
	i := slices.IndexFunc(fieldRows, func(f fieldRow) bool { return f.path == path })
	if i < 0 {
		return fieldRow{}, false
	}
	return fieldRows[i], true
}

// nearest returns the known field beside the unknown one whose name is most
// like its, or "" if none is.
func nearest(parent, name string) string {
	best, least := "", 1+len(name)/3
	for _, f := range fieldRows {
		sibling, ok := strings.CutPrefix(f.path, parent)
		if !ok || strings.Contains(sibling, ".") {
			continue
		}
		if d := distance(name, sibling); d <= least && (best == "" || d < least) {
			best, least = sibling, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to get from a to b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
