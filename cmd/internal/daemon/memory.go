package daemon

import (
	"os"
	"runtime/debug"
)

// An engine makes much that is garbage a moment later: with a heap that may
// grow to four times what is live, collecting it costs a seventh less of the
// processor. The limit makes that collector as eager as ever before the process
// is large.
const (
	gcPercent   = 300
	memoryLimit = 384 << 20 // bytes
)

// SpendMemory trades memory for speed, unless the environment says how (GOGC,
// GOMEMLIMIT).
func SpendMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
