// Package spec is the text in which people say what a pipeline does, as data.
//
// # Spec
//
// A [Spec] says what program runs on which part of which inputs. [Parse] reads
// it from YAML or JSON and names everything that is wrong with it, with its
// place. [Encode] gives the one byte string that is stored and hashed,
// described in FORMAT.md.
//
// # Field
//
// Every field that the format knows is a row of one table, which says whether
// it is built and whether memo keys cover it: testdata/key_table.golden. A
// field that is known and not built is refused, never ignored.
//
// # Glob
//
// A [Glob] selects files and directories of a tree. It finds them, and how
// they differ between two trees, at the cost of what it can select.
//
// Everything here is a value and safe for concurrent use.
package spec
