// Command probe runs in the place of a user's program in a Pod, and says what
// it can reach there. It writes the report, JSON, to out/NAME.json, NAME being
// that of its only input file.
//
//	probe URL...
//
// Each URL is asked for without credentials.
package main
