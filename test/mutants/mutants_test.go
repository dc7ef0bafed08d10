package main

import "testing"

// TestCutsAreInTheSources: what a mutant changes is where it says. Whether the
// tests notice is for make mutants.
func TestCutsAreInTheSources(t *testing.T) {
	t.Chdir("../..")
	for _, m := range mutants() {
		if _, err := m.overlay(t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}
