package pipeline

import (
	"slices"
	"strings"
)

// specField is one field of the spec's format: one row of the table that says
// what is in the memo key and what is built.
type specField struct {
	path  string // dotted
	shape shape  // 0: not supported yet
	key   inKey
	why   string
}

// shape says what the value of a field looks like.
type shape uint8

const (
	unbuilt shape = iota
	object        // fields of its own
	text          // one text
	number        // one whole number
	flag          // true or false
	texts         // a list of texts; numbers and booleans stand for themselves as typed
	numbers       // a list of whole numbers
	dict          // names with texts; numbers and booleans stand for themselves as typed
	fixed         // the text "normal"; "never" is not supported yet
)

// inKey says whether the value of a field is part of the memo key.
type inKey string

const (
	inside  inKey = "yes"
	outside inKey = "no"
	content inKey = "content" // not the value, but the content that it names
	below   inKey = "-"       // see the fields below it
)

// specFields is every field of the format, built or not. A field that is not
// here is unknown.
var specFields = []specField{
	{"pipeline", text, outside, "a name: renamed or re-created, a pipeline does the same work"},
	{"description", text, outside, "for people"},
	{"transform", object, below, ""},
	{"transform.image", unbuilt, inside, "the image decides what runs; its digest counts, never its tag"},
	{"transform.cmd", texts, inside, "it is what runs"},
	{"transform.stdin", texts, inside, "the program reads it"},
	{"transform.env", dict, inside, "the program sees it"},
	{"transform.secrets", unbuilt, inside, "the program sees them; their versions count"},
	{"transform.code", object, below, ""},
	{"transform.code.path", text, content, "the tree of the folder counts, not where it lies"},
	{"transform.code.ignore", texts, content, "ignored files are not in the tree"},
	{"transform.code.none", flag, content, "without a tree the program sees none"},
	{"transform.working_dir", text, inside, "the program starts there"},
	{"transform.user", unbuilt, inside, "the program sees as whom it runs"},
	{"transform.err_cmd", unbuilt, inside, "it can turn a failure into a result"},
	{"transform.accept_return_code", numbers, outside, "a result counts if its own exit status is accepted now"},
	{"input", object, below, ""},
	{"input.repo", text, content, "only what is selected counts, wherever it comes from"},
	{"input.name", text, inside, "the program sees it: in/NAME"},
	{"input.branch", text, content, "only what is selected counts, wherever it comes from"},
	{"input.glob", text, content, "it decides which datums there are; a datum's paths and content count"},
	{"input.cron", unbuilt, inside, "the program sees the time as a file"},
	{"input.cross", unbuilt, content, "the items of the datum count"},
	{"input.union", unbuilt, content, "the items of the datum count"},
	{"input.join", unbuilt, content, "the items of the datum count"},
	{"input.join_on", unbuilt, content, "it decides which datums there are"},
	{"input.group", unbuilt, content, "the items of the datum count"},
	{"input.group_by", unbuilt, content, "it decides which datums there are"},
	{"output_branch", unbuilt, outside, "a name"},
	{"parameters", dict, inside, "the program sees them"},
	{"parallelism", object, below, ""},
	{"parallelism.min", unbuilt, outside, "how fast, not what"},
	{"parallelism.max", number, outside, "how fast, not what"},
	{"datum", object, below, ""},
	{"datum.tries", number, outside, "only results that succeeded are recorded"},
	{"datum.backoff", unbuilt, outside, "only results that succeeded are recorded"},
	{"datum.timeout", text, outside, "only results that succeeded are recorded"},
	{"datum.set_size", unbuilt, outside, "how fast, not what"},
	{"datum.order", unbuilt, outside, "in which order, not what"},
	{"datum.batch", unbuilt, inside, "the program is called in another way"},
	{"job_timeout", unbuilt, outside, "only results that succeeded are recorded"},
	{"max_failed", unbuilt, outside, "what a job makes of its failures, not what a datum gives"},
	{"resource_requests", unbuilt, outside, "how fast, not what"},
	{"resource_requests.cpu", unbuilt, outside, "how fast, not what"},
	{"resource_requests.memory", unbuilt, outside, "how fast, not what"},
	{"resource_limits", unbuilt, outside, "how fast, not what"},
	{"resource_limits.cpu", unbuilt, outside, "how fast, not what"},
	{"resource_limits.memory", unbuilt, outside, "how fast, not what"},
	{"scheduling", unbuilt, outside, "where, not what"},
	{"scheduling.node_selector", unbuilt, outside, "where, not what"},
	{"scheduling.tolerations", unbuilt, outside, "where, not what"},
	{"scheduling.priority", unbuilt, outside, "when, not what"},
	{"service_account", unbuilt, outside, "as whom the worker runs; the program has no credential"},
	{"schedule", unbuilt, outside, "when, not what"},
	{"schedule.cron", unbuilt, outside, "when, not what"},
	{"schedule.time_zone", unbuilt, outside, "when, not what"},
	{"schedule.catch_up", unbuilt, outside, "when, not what"},
	{"schedule.overlap", unbuilt, outside, "when, not what"},
	{"trigger", unbuilt, outside, "when, not what"},
	{"trigger.commits", unbuilt, outside, "when, not what"},
	{"trigger.bytes", unbuilt, outside, "when, not what"},
	{"trigger.cron", unbuilt, outside, "when, not what"},
	{"trigger.all", unbuilt, outside, "when, not what"},
	{"trigger.any", unbuilt, outside, "when, not what"},
	{"checks", unbuilt, outside, "they look at results"},
	{"checks.rows", unbuilt, outside, "they look at results"},
	{"checks.files", unbuilt, outside, "they look at results"},
	{"checks.null_share", unbuilt, outside, "they look at results"},
	{"checks.volume_drift", unbuilt, outside, "they look at results"},
	{"checks.program", unbuilt, outside, "they look at results"},
	{"deadline", unbuilt, outside, "when, not what"},
	{"deadline.by", unbuilt, outside, "when, not what"},
	{"deadline.time_zone", unbuilt, outside, "when, not what"},
	{"deadline.notify", unbuilt, outside, "whom to tell"},
	{"notify", unbuilt, outside, "whom to tell"},
	{"hooks", unbuilt, outside, "they run beside the work"},
	{"hooks.on_success", unbuilt, outside, "they run beside the work"},
	{"hooks.on_failure", unbuilt, outside, "they run beside the work"},
	{"hooks.on_exit", unbuilt, outside, "they run beside the work"},
	{"concurrency", unbuilt, outside, "when, not what"},
	{"egress", unbuilt, outside, "what is done with a result"},
	{"cache", fixed, outside, "whether results are looked up, not what they are"},
	{"reprocess", text, inside, "the salt: changing it runs everything again"},
	{"autoscaling", unbuilt, outside, "how fast, not what"},
	{"s3", unbuilt, inside, "the program gets its inputs in another way"},
	{"metadata", dict, outside, "for people and other programs"},
}

// fieldAt returns the field of a dotted path.
func fieldAt(path string) (specField, bool) {
	i := slices.IndexFunc(specFields, func(f specField) bool { return f.path == path })
	if i < 0 {
		return specField{}, false
	}
	return specFields[i], true
}

// nearest returns the known field beside the unknown one whose name is most
// like its, or "" if none is.
func nearest(parent, name string) string {
	best, least := "", 1+len(name)/3
	for _, f := range specFields {
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
