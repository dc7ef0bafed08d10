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
// A slot that is itself killed is an error of the infrastructure; what ran in
// it is looked for by its environment and killed, and a new slot takes over.
//
// # Runtime
//
// What executes a command is part of the memo key: the executable found on a
// fixed [Path] (or the PATH that the pipeline declares), the chain of
// interpreters behind a script's first line, and a fingerprint of the host.
// Programs also find a fixed umask, a session of their own, and no open files
// but the standard three.
//
// # Caveats
//
// A local process is not contained: it runs as the daemon's user and can read
// what that user can. It sees a cleared environment and private folders, and
// its results serve only the host and user that ran it. Libraries and files of
// the host that a program opens by itself are not in the memo key. A process
// that gained another user's rights (setuid) can't be killed and is let go.
// Outside Linux, a process that leaves its process group survives its datum.
//
// A Runner may be used concurrently.
package local
