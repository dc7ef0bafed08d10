package spec

// Spec is a pipeline as its author wrote it, after defaults. Field names in
// YAML and JSON are snake_case. Fields that the format knows and this version
// does not run are refused by Parse with "not supported yet".
type Spec struct {
	Pipeline       string              `json:"pipeline"`
	Description    string              `json:"description,omitempty"`
	Transform      Transform           `json:"transform"`
	Input          Input               `json:"input"`
	Commits        string              `json:"commits,omitempty"` // "every": each commit of the inputs is evaluated, in order; else the newest
	Parameters     map[string]string   `json:"parameters,omitempty"`
	Sweep          map[string][]string `json:"sweep,omitempty"` // parameters that take each of these values in turn
	Parallelism    Parallelism         `json:"parallelism,omitzero"`
	Datum          DatumPolicy         `json:"datum,omitzero"`
	Growth         *Growth             `json:"growth,omitempty"`           // datums may emit further datums; nil: they may not
	JobTimeout     string              `json:"job_timeout,omitempty"`      // Go duration; none by default
	MaxFailed      Share               `json:"max_failed,omitzero"`        // datums without a result that the output may lack
	Requests       Resources           `json:"resource_requests,omitzero"` // of a worker Pod: what it may count on
	Limits         Resources           `json:"resource_limits,omitzero"`   // of a worker Pod: beyond them it is slowed down or ended
	Scheduling     Scheduling          `json:"scheduling,omitzero"`
	Concurrency    map[string]int      `json:"concurrency,omitempty"`     // units of pools that each attempt holds
	PartialResults string              `json:"partial_results,omitempty"` // Go duration: how often what a job has so far is shown; never by default
	Hooks          *Hooks              `json:"hooks,omitempty"`           // what to run when a job is over
	Cache          string              `json:"cache,omitempty"`           // "never": results are neither looked up nor kept for others
	Reprocess      string              `json:"reprocess,omitempty"`       // salt: change it to run everything again
	Metadata       map[string]string   `json:"metadata,omitempty"`
}

// Transform is the program.
type Transform struct {
	Image            string            `json:"image,omitempty"` // reference of a container image; empty: the program is on the host
	Cmd              []string          `json:"cmd"`             // may be empty with an image, which has a command of its own then
	Stdin            []string          `json:"stdin,omitempty"` // lines
	Env              map[string]string `json:"env,omitempty"`
	Code             *Code             `json:"code,omitempty"` // nil: the spec's folder
	WorkingDir       string            `json:"working_dir,omitempty"`
	ErrCmd           []string          `json:"err_cmd,omitempty"` // run when the last attempt failed: if it succeeds, the job goes on without the datum
	AcceptReturnCode []int             `json:"accept_return_code,omitempty"`
}

// Code says which folder is the program's code.
type Code struct {
	Path   string   `json:"path,omitempty"`   // relative to the spec's folder, inside it; "." by default
	Ignore []string `json:"ignore,omitempty"` // globs, relative to Path
	None   bool     `json:"none,omitempty"`   // no code tree: the command is on the host
}

// Parallelism bounds how many datums of the pipeline run at once.
type Parallelism struct {
	Max int `json:"max,omitempty"` // 0: as many as the runner has slots
}

// DatumPolicy says how single datums are treated.
type DatumPolicy struct {
	Tries      int      `json:"tries,omitempty"`       // attempts at a datum whose program fails; 1 by default
	Backoff    string   `json:"backoff,omitempty"`     // Go duration: the wait after the first failure, doubled after each; none by default
	RetryOn    []string `json:"retry_on,omitempty"`    // failures after which there is another attempt, of [RetryClasses]; all by default
	CrashTries int      `json:"crash_tries,omitempty"` // attempts that the infrastructure may lose before the datum fails; 21 by default
	MaxOutput  string   `json:"max_output,omitempty"`  // size: what an attempt may store, as in 10GiB; no limit by default
	Timeout    string   `json:"timeout,omitempty"`     // Go duration; none by default
	Batch      bool     `json:"batch,omitempty"`       // one process of the program takes datum after datum
	SetSize    int      `json:"set_size,omitempty"`    // as many at most; 0: any number
}

// Growth bounds the further datums that the datums of a job emit.
type Growth struct {
	Depth int `json:"depth,omitempty"` // steps from a datum of the input to the last that follows from it; 8 by default
	Max   int `json:"max,omitempty"`   // of one job; 10,000 by default
}

// GrowDir is the folder in a datum's output whose entries are further datums,
// in a pipeline with growth; GrowInput is the name of the input in which such a
// datum sees itself.
const (
	GrowDir   = ".grow"
	GrowInput = "grow"
)

// Hooks are commands that whoever runs the pipelines runs when a job is over, if
// they allow it.
type Hooks struct {
	OnSuccess []string `json:"on_success,omitempty"` // its output is published
	OnFailure []string `json:"on_failure,omitempty"` // it failed, or somebody cancelled it
	OnExit    []string `json:"on_exit,omitempty"`    // in any case, after the others
}

// Resources is an amount of what a machine has. Quantities are written as
// Kubernetes has them: 2, 500m, 64Mi.
type Resources struct {
	CPU    string `json:"cpu,omitempty"`
	Memory string `json:"memory,omitempty"`
}

// Scheduling says which work comes first.
type Scheduling struct {
	Priority int `json:"priority,omitempty"` // of slots that are free, those with the highest get theirs first; 0 by default
}

// RetryClasses returns the ways in which a program fails, as datum.retry_on
// names them.
func RetryClasses() []string {
	return []string{"exit", "limit", "output", "signal", "start", "timeout"}
}

// CommitsEvery is the value of Spec.Commits for pipelines that evaluate every
// commit.
const CommitsEvery = "every"

// CacheNever is the value of Spec.Cache for work that is done anew each time.
const CacheNever = "never"
