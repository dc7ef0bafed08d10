// Package local runs tasks as child processes of this machine.
//
// # Runner
//
// A [Runner] has a number of slots. Each slot is a small helper process
// ([MaybeSlot]) that runs one program after the other and kills all that a
// program started before it reports its end, on Linux also what left its
// process group or lost its parent. When the daemon dies, however suddenly,
// its slots kill what runs and exit.
//
// # Runtime
//
// What executes a command is part of the memo key: the executable found on a
// fixed PATH, the chain of interpreters behind a script's first line, and a
// fingerprint of the host.
//
// # Caveats
//
// A local process is not contained: it runs as the daemon's user and can read
// what that user can. It sees a cleared environment and private folders, and
// its results serve only the host and user that ran it. Outside Linux, a
// process that leaves its process group survives its datum.
//
// A Runner may be used concurrently.
package local
