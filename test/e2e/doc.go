// Package e2e runs the binaries end to end, as a user would: dvx and dvxd as
// processes, a folder or a bucket as the store, stock clients of S3 and strace
// beside them. The clients that are no Debian packages are in test/clients.
//
// The tests have the build tag e2e and are run by make e2e, which builds the
// binaries (DVX_BIN names their folder) and installs what they need. Each test
// works in its own temporary folder, with its own keys and its own ports on
// loopback, and ends the processes that it started.
//
// TestSoakKill9 runs only with DVX_SOAK (a duration), by make soak.
package e2e
