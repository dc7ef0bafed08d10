package sim

import (
	"os"
	"strings"
	"testing"
)

// TestProductionRunsTheSameStep reads the sources: the controller and the
// simulation both call engine.Step, and nothing else makes effects.
func TestProductionRunsTheSameStep(t *testing.T) {
	for file, call := range map[string]string{
		"../pipeline/controller.go": "engine.Step(",
		"sim.go":                    "engine.Step",
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), call) {
			t.Errorf("%s does not call %s", file, call)
		}
	}
}
