// Package interop reads the pipeline specs of other systems.
//
// # Import
//
// An [Import] is what became of a file: specs of ours, and a [Note] for all that
// does not carry over. Nothing is dropped in silence: a field that is neither
// carried over nor noted is a bug. Functions are pure.
//
// Package mirror below it goes the other way, with data.
package interop

import (
	"cmp"
	"slices"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// Import is what became of a file of another system.
type Import struct {
	Specs []spec.Spec `json:"specs"`
	Notes []Note      `json:"notes"`
}

// Note is something that did not carry over as it was.
type Note struct {
	Pipeline string `json:"pipeline"`
	Field    string `json:"field"` // in the other system's words
	Text     string `json:"text"`
}

// note adds a note.
func (i *Import) note(pipeline, field, text string) {
	i.Notes = append(i.Notes, Note{pipeline, field, text})
}

// sorted puts the notes in order of pipeline and field.
func (i *Import) sorted() {
	slices.SortStableFunc(i.Notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Pipeline, b.Pipeline), cmp.Compare(a.Field, b.Field))
	})
}
