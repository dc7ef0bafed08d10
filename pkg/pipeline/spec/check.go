package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dvx-io/dvx/pkg/commit"
)

// Limits of a spec's values.
const (
	ParallelismMax = 10_000    // datums at once
	TriesMax       = 100       // attempts at a datum
	CrashTriesMax  = 1000      // attempts at a datum that the infrastructure lost
	UnitsMax       = 1000      // of a pool, for one attempt
	SetSizeMax     = 1 << 20   // datums that one process takes
	GrowthDepthMax = 1000      // steps of growth
	GrowthMax      = 1_000_000 // datums that the datums of a job emit
	PriorityMax    = 1000      // of a pipeline, above and below 0
	namesMax       = 1000      // names in one of env, parameters, metadata
	nameMax        = 256       // bytes of such a name
	textMax        = 64 << 10  // bytes of one value; what an exec takes is 128 KiB
)

// WithDefaults returns the spec with every default filled in and every value
// in its one spelling: input.name is the repo, datum.tries 1, transform.code
// the spec's folder, accept_return_code sorted and without 0.
func (s Spec) WithDefaults() Spec {
	s.Input = s.Input.withDefaults(s.Pipeline)
	if s.Datum.Tries == 0 {
		s.Datum.Tries = 1
	}
	if s.Commits == "latest" {
		s.Commits = ""
	}
	if s.Cache == "normal" {
		s.Cache = ""
	}
	if s.Hooks != nil && len(s.Hooks.OnSuccess)+len(s.Hooks.OnFailure)+len(s.Hooks.OnExit) == 0 {
		s.Hooks = nil
	}
	if s.Growth != nil {
		s.Growth = &Growth{Depth: cmp.Or(s.Growth.Depth, 8), Max: cmp.Or(s.Growth.Max, 10_000)}
	}
	code := Code{}
	if s.Transform.Code != nil {
		code = *s.Transform.Code
	}
	if !code.None {
		code.Path = cleanPath(code.Path)
	}
	s.Transform.Code = &code
	if s.Transform.WorkingDir != "" {
		if s.Transform.WorkingDir = cleanPath(s.Transform.WorkingDir); s.Transform.WorkingDir == "." {
			s.Transform.WorkingDir = ""
		}
	}
	s.Datum.RetryOn = slices.Compact(slices.Sorted(slices.Values(s.Datum.RetryOn)))
	accept := slices.DeleteFunc(slices.Clone(s.Transform.AcceptReturnCode), func(n int) bool { return n == 0 })
	slices.Sort(accept)
	s.Transform.AcceptReturnCode = slices.Compact(accept)
	return s
}

// cleanPath returns a relative path in its one spelling; what is no relative
// path stays as it is.
func cleanPath(p string) string {
	if strings.HasPrefix(p, "/") {
		return p
	}
	return path.Clean(p)
}

// Validate fails with a [Error] for everything that is wrong with the
// spec, its defaults filled in.
func (s Spec) Validate() error { return joinErrors(s.WithDefaults().problems()) }

// Accepts reports whether an exit status of the program is a success. A memo
// record counts only if its exit status is accepted by the spec as it is now.
func (t Transform) Accepts(exit int) bool {
	return exit == 0 || slices.Contains(t.AcceptReturnCode, exit)
}

// DatumTimeout returns the time limit of an attempt, 0 for none.
func (s Spec) DatumTimeout() time.Duration { return duration(s.Datum.Timeout) }

// DatumBackoff returns the wait after the first failure of a datum's program.
func (s Spec) DatumBackoff() time.Duration { return duration(s.Datum.Backoff) }

// JobLimit returns the time limit of a job, 0 for none.
func (s Spec) JobLimit() time.Duration { return duration(s.JobTimeout) }

// PartialEvery returns how often what a job has so far is shown, 0 for never.
func (s Spec) PartialEvery() time.Duration { return duration(s.PartialResults) }

func duration(v string) time.Duration {
	d, _ := time.ParseDuration(v) // validated
	return d
}

// duration refuses what is neither empty nor a positive duration.
func (c *checker) duration(field, v string) {
	if v == "" {
		return
	}
	if d, err := time.ParseDuration(v); err != nil || d <= 0 {
		c.fail(field, "want a time with its unit, as in 90s, 10m or 1h30m, found %.40q", v)
	}
}

// batch refuses what does not go with a program that takes many datums, or
// needs one.
func (c *checker) batch(s Spec) {
	if s.Datum.SetSize < 0 || s.Datum.SetSize > SetSizeMax {
		c.fail("datum.set_size", "%d is not from 0 to %d", s.Datum.SetSize, SetSizeMax)
	}
	switch t := s.Transform; {
	case !s.Datum.Batch && s.Datum.SetSize > 0:
		c.fail("datum.set_size", "needs datum.batch: it says how many datums one process of the program takes")
	case s.Datum.Batch && len(t.ErrCmd) > 0:
		c.fail("transform.err_cmd", "does not go with datum.batch: the program answers for each datum itself")
	case s.Datum.Batch && len(t.AcceptReturnCode) > 0:
		c.fail("transform.accept_return_code", "does not go with datum.batch: the program answers for each datum itself")
	}
}

// checker collects what is wrong.
type checker []*Error

func (c *checker) fail(field, format string, args ...any) {
	*c = append(*c, &Error{Field: field, Reason: field + ": " + fmt.Sprintf(format, args...)})
}

func (c *checker) err(field string, err error) {
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		c.fail(field, "%s", strings.TrimSuffix(err.Error(), ": "+errors.ErrUnsupported.Error()))
		(*c)[len(*c)-1].Unsupported = true
	case err != nil:
		c.fail(field, "%s", strings.TrimSuffix(err.Error(), ": "+fs.ErrInvalid.Error()))
	}
}

// problems returns everything that is wrong with the spec.
func (s Spec) problems() []*Error {
	var c checker
	if s.Pipeline == "" {
		c.fail("pipeline", "is missing: give the pipeline a name")
	} else {
		c.err("pipeline", commit.CheckRepoName(s.Pipeline))
	}
	c.text("description", s.Description)
	c.text("reprocess", s.Reprocess)
	c.transform(s.Transform)
	c.input(s)
	c.dict("parameters", s.Parameters, checkIdentifier)
	c.sweep(s)
	c.dict("metadata", s.Metadata, checkLabel)
	if s.Parallelism.Max < 0 || s.Parallelism.Max > ParallelismMax {
		c.fail("parallelism.max", "%d is not from 0 to %d", s.Parallelism.Max, ParallelismMax)
	}
	if s.Datum.Tries < 0 || s.Datum.Tries > TriesMax {
		c.fail("datum.tries", "%d is not from 1 to %d", s.Datum.Tries, TriesMax)
	}
	if s.Datum.CrashTries < 0 || s.Datum.CrashTries > CrashTriesMax {
		c.fail("datum.crash_tries", "%d is not from 1 to %d", s.Datum.CrashTries, CrashTriesMax)
	}
	for i, class := range s.Datum.RetryOn {
		if !slices.Contains(RetryClasses(), class) {
			c.fail(fmt.Sprintf("datum.retry_on[%d]", i), "want one of %s, found %.40q", strings.Join(RetryClasses(), ", "), class)
		}
	}
	c.pools(s.Concurrency)
	c.batch(s)
	c.growth(s)
	c.hooks(s.Hooks)
	if _, err := parseSize(s.Datum.MaxOutput); err != nil {
		c.fail("datum.max_output", "%v", err)
	}
	c.duration("datum.timeout", s.Datum.Timeout)
	c.duration("datum.backoff", s.Datum.Backoff)
	c.duration("job_timeout", s.JobTimeout)
	c.duration("partial_results", s.PartialResults)
	if n := s.MaxFailed.Count; n < 0 {
		c.fail("max_failed", "%d is less than 0", n)
	}
	if p := s.Scheduling.Priority; p < -PriorityMax || p > PriorityMax {
		c.fail("scheduling.priority", "%d is not from %d to %d", p, -PriorityMax, PriorityMax)
	}
	if s.Commits != "" && s.Commits != CommitsEvery {
		c.fail("commits", "want latest or every, found %.40q", s.Commits)
	}
	if s.Transform.Image != "" && s.Datum.Batch {
		c.fail("datum.batch", "is not supported yet together with transform.image")
	}
	c.resources("resource_requests", s.Requests)
	c.resources("resource_limits", s.Limits)
	if s.Cache != "" && s.Cache != CacheNever {
		c.fail("cache", "want normal or never, found %.40q", s.Cache)
	}
	_, wrong := s.expand()
	return append(c, wrong...)
}

func (c *checker) transform(t Transform) {
	const at = "transform"
	c.image(at+".image", t.Image)
	if len(t.Cmd) == 0 && t.Image == "" {
		c.fail(at+".cmd", "is missing: say what to run, as in [python3, code/count.py]")
	} else if len(t.Cmd) > 0 && t.Cmd[0] == "" {
		c.fail(at+".cmd[0]", "is empty: it names the program")
	}
	for i, v := range t.Cmd {
		c.text(fmt.Sprintf("%s.cmd[%d]", at, i), v)
	}
	for i, v := range t.Stdin {
		c.text(fmt.Sprintf("%s.stdin[%d]", at, i), v)
	}
	for i, v := range t.ErrCmd {
		c.text(fmt.Sprintf("%s.err_cmd[%d]", at, i), v)
	}
	c.dict(at+".env", t.Env, checkEnvName)
	if t.WorkingDir != "" {
		c.inside(at+".working_dir", t.WorkingDir, "the task's folder")
	}
	for _, n := range t.AcceptReturnCode {
		if n < 0 || n > 255 {
			c.fail(at+".accept_return_code", "%d is not from 0 to 255", n)
		}
	}
	c.code(t.Code)
}

func (c *checker) code(code *Code) {
	const at = "transform.code"
	switch {
	case code == nil:
		return
	case code.None && (code.Path != "" || len(code.Ignore) > 0):
		c.fail(at+".none", "says that there is no code, so path and ignore have no meaning")
	case !code.None:
		c.inside(at+".path", code.Path, "the spec's folder")
	}
	for i, p := range code.Ignore {
		_, err := CompileGlob(p)
		c.err(fmt.Sprintf("%s.ignore[%d]", at, i), err)
	}
}

// inside checks a relative path that must not leave a folder.
func (c *checker) inside(field, p, folder string) {
	c.text(field, p)
	switch clean := path.Clean(p); {
	case p == "":
		c.fail(field, "is empty; . is %s", folder)
	case strings.HasPrefix(p, "/"), strings.Contains(p, "\\"), len(p) > 1 && p[1] == ':':
		c.fail(field, "want a path relative to %s, with /, found %.200q", folder, p)
	case clean == "..", strings.HasPrefix(clean, "../"):
		c.fail(field, "%.200q leaves %s", p, folder)
	}
}

// hooks checks the commands of hooks.
func (c *checker) hooks(h *Hooks) {
	if h == nil {
		return
	}
	for _, cmd := range []struct {
		at   string
		argv []string
	}{{"hooks.on_success", h.OnSuccess}, {"hooks.on_failure", h.OnFailure}, {"hooks.on_exit", h.OnExit}} {
		if len(cmd.argv) > 0 && cmd.argv[0] == "" {
			c.fail(cmd.at+"[0]", "is empty: it names the program")
		}
		for i, v := range cmd.argv {
			c.text(fmt.Sprintf("%s[%d]", cmd.at, i), v)
		}
	}
}

// growth checks what bounds further datums.
func (c *checker) growth(s Spec) {
	if s.Growth == nil {
		return
	}
	if n := s.Growth.Depth; n < 1 || n > GrowthDepthMax {
		c.fail("growth.depth", "%d is not from 1 to %d", n, GrowthDepthMax)
	}
	if n := s.Growth.Max; n < 1 || n > GrowthMax {
		c.fail("growth.max", "%d is not from 1 to %d", n, GrowthMax)
	}
	for in := range s.Input.Leaves() {
		switch {
		case EnvName(in.Name) == EnvName(GrowInput):
			c.fail("growth", "an input is called %q, which is where further datums see themselves: give it another name", in.Name)
		case in.Reference:
			c.fail("growth", "input %q is a reference, which keeps results that the others might not follow from", in.Name)
		}
	}
}

// pools checks the units of pools that attempts hold.
func (c *checker) pools(units map[string]int) {
	if len(units) > namesMax {
		c.fail("concurrency", "%d names exceed the limit of %d", len(units), namesMax)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(units)) {
		at := "concurrency." + name
		if reason := CheckPoolName(name); reason != "" {
			*c = append(*c, &Error{Field: at, Reason: fmt.Sprintf("concurrency: the name %.80q %s", name, reason)})
		} else if n := units[name]; n < 1 || n > UnitsMax {
			c.fail(at, "%d is not from 1 to %d", n, UnitsMax)
		}
	}
}

// CheckPoolName says what is wrong with the name of a pool, "" if nothing is.
func CheckPoolName(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !strings.ContainsRune("-_.", r) && !isLetterOrDigit(r) }) {
		return "must be letters, digits, -, _ and ."
	}
	return checkLabel(name)
}

func isLetterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// dict checks names and values.
func (c *checker) dict(field string, m map[string]string, check func(string) string) {
	if len(m) > namesMax {
		c.fail(field, "%d names exceed the limit of %d", len(m), namesMax)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at := field + "." + name
		if reason := check(name); reason != "" {
			*c = append(*c, &Error{Field: at, Reason: fmt.Sprintf("%s: the name %.80q %s", field, name, reason)})
			continue
		}
		c.text(at, m[name])
	}
}

// text checks a value.
func (c *checker) text(field, v string) {
	switch {
	case len(v) > textMax:
		c.fail(field, "%d bytes exceed the limit of %d", len(v), textMax)
	case !utf8.ValidString(v):
		c.fail(field, "is not UTF-8 text")
	case strings.ContainsRune(v, 0):
		c.fail(field, "holds a NUL character, which no program can be given")
	}
}

// checkIdentifier says what is wrong with the name of a parameter.
func checkIdentifier(name string) string {
	for i, r := range name {
		if r != '_' && !isLetterOrDigit(r) || i == 0 && r >= '0' && r <= '9' {
			return "must be letters, digits and _, not a digit first"
		}
	}
	return checkLabel(name)
}

// checkEnvName says what is wrong with the name of an environment variable.
func checkEnvName(name string) string {
	if strings.HasPrefix(strings.ToUpper(name), "DVX_") {
		return "is reserved: names that begin with DVX_ are set by dvx"
	}
	return checkIdentifier(name)
}

// checkLabel says what is wrong with a name in metadata.
func checkLabel(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > nameMax:
		return fmt.Sprintf("exceeds the limit of %d bytes", nameMax)
	case !utf8.ValidString(name):
		return "is not UTF-8 text"
	}
	return ""
}
