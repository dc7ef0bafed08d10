package proof

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestSoak tries seeds that nobody chose for as long as DVX_SOAK says.
func TestSoak(t *testing.T) {
	s := os.Getenv("DVX_SOAK")
	if s == "" {
		t.Skip("runs for as long as DVX_SOAK says (make soak)")
	}
	long, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("DVX_SOAK: %v", err)
	}
	tried := 0
	for start := time.Now(); time.Since(start) < long && !t.Failed(); tried++ {
		t.Setenv("DVX_SEED", strconv.FormatUint(rand.Uint64()>>1, 10))
		t.Run("model", TestModel)
		t.Run("linearizable", TestLinearizable)
		t.Run("power loss", TestPowerLossOfCommits)
	}
	figure(t, "%d seeds of each kind in %v", tried, long)
}
