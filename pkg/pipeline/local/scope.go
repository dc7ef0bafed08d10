package local

import (
	"fmt"
	"os"
)

// Scope returns the trust scope of this runner's results: they serve whoever
// runs on the same host as the same user, since both could have changed what a
// program found there.
func (r *Runner) Scope() string { return fmt.Sprintf("local:%s:%d", r.host, os.Getuid()) }
