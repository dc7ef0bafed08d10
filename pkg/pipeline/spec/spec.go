package spec

// Spec is a pipeline as its author wrote it, after defaults. Field names in
// YAML and JSON are snake_case. Fields that the format knows and this version
// does not run are refused by Parse with "not supported yet".
type Spec struct {
	Pipeline    string            `json:"pipeline"`
	Description string            `json:"description,omitempty"`
	Transform   Transform         `json:"transform"`
	Input       Input             `json:"input"`
	Parameters  map[string]string `json:"parameters,omitempty"`
	Parallelism Parallelism       `json:"parallelism,omitzero"`
	Datum       DatumPolicy       `json:"datum,omitzero"`
	Reprocess   string            `json:"reprocess,omitempty"` // salt: change it to run everything again
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// Transform is the program.
type Transform struct {
	Cmd              []string          `json:"cmd"`
	Stdin            []string          `json:"stdin,omitempty"` // lines
	Env              map[string]string `json:"env,omitempty"`
	Code             *Code             `json:"code,omitempty"` // nil: the spec's folder
	WorkingDir       string            `json:"working_dir,omitempty"`
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
	Tries   int    `json:"tries,omitempty"`   // attempts at a datum whose program fails; 1 by default
	Timeout string `json:"timeout,omitempty"` // Go duration; none by default
}
