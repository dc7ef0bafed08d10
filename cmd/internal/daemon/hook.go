package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// hookPath is what commands of hooks are looked up on, as those of pipelines are.
const hookPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// hookPrintedMax bounds what is kept of what a hook prints, in bytes.
const hookPrintedMax = 4096

// runHooks returns what runs hooks in a folder, as this process's user and with
// nothing of its environment.
func runHooks(dir string) pipeline.RunHook {
	return func(ctx context.Context, argv []string, job history.Job) (string, error) {
		told, err := json.Marshal(job)
		if err != nil {
			return "", fmt.Errorf("describe the job to a hook: %w", err)
		}
		cmd := exec.CommandContext(ctx, "/usr/bin/env", append([]string{"--"}, argv...)...)
		cmd.Dir, cmd.Stdin, cmd.WaitDelay = dir, bytes.NewReader(told), time.Second
		cmd.Env = []string{
			"PATH=" + hookPath, "HOME=" + dir, "DVX_JOB=" + job.ID.String(), "DVX_PIPELINE=" + job.Pipeline, "DVX_BRANCH=" + job.Branch,
			"DVX_STATE=" + string(job.State), "DVX_REASON=" + job.Reason, "DVX_HOOK_KEY=" + job.ID.String() + "-" + string(job.State),
		}
		if !job.Output.IsZero() {
			cmd.Env = append(cmd.Env, "DVX_OUTPUT="+job.Output.String())
		}
		printed := &tail{}
		cmd.Stdout, cmd.Stderr = printed, printed
		err = cmd.Run()
		return string(printed.b), err
	}
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-hookPrintedMax):]
	return len(p), nil
}
