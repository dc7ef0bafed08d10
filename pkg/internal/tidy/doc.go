// Package tidy holds the rules of the house as tests, so that go test fails
// where a habit would otherwise fade.
//
// # Rule
//
// A rule reads the source tree as text and syntax and answers with findings,
// one line each: where, what is wrong, what to do. There is one rule per habit;
// the list is in rules_test.go, and each says why it is there.
//
// # Case
//
// Every rule is tried on small trees of its own, in testdata/RULE.txtar: one
// tree per case, and the findings that the rule must answer with. A rule without
// a case that it refuses and one that it accepts fails, so no rule can rot into
// a formality.
//
// # Exception
//
// Where good sense and a rule differ, the exception stands in the rule's table
// beside its reason. An exception that nothing needs any longer is a finding.
//
// The package has no code for others to import.
package tidy
