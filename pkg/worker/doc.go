// Package worker runs one task at a time: it lays the inputs out, lets the
// program run, and stores what the program wrote.
//
// # Worker
//
// A [Worker] owns one private folder that it uses again and again. The
// program's working directory in it holds in/NAME (inputs), code (the code
// tree) and out (to be filled). Files and folders under in and code are
// read-only and carry one fixed time.
//
// # Memory
//
// To make and to remove a file costs a disk more than all else that is done for
// a small datum. With Options.Memory the inputs and outputs of datums whose
// inputs are small lie in a folder in memory once their pipeline's results have
// proved to be small. What uses up the room there is ended and run again on the
// disk. What programs keep in TMPDIR is on the disk always, and so is the
// working directory of a program that takes many datums: it is told of each where
// its inputs and outputs are, and finds a link to the inputs.
//
// # Executor
//
// How a program is executed (as a child process, in a container) is the
// [Executor]'s business.
//
// # Batch
//
// A program that takes one datum after the other (task.Task.Batch) is left
// running between tasks that it may serve ([Worker.Serves]), until it is no longer
// wanted ([Worker.Rest]). It is told of each in a line of JSON, and answers in one;
// docs/PIPELINES.md describes them. Its inputs lie where those of the last datum lay,
// its outputs go to a folder of their own for each.
//
// # Caveats
//
// Outputs are read without following any link. A link in out that points at an
// input, by a relative or an absolute path, becomes that input without a byte
// being stored again; one that points into out is kept, made relative. A link
// that leaves out is refused, and so are devices, pipes and sockets, and links
// of inputs that leave their input. ".." may only stand at a link's beginning:
// behind a name it could lead out through another link.
//
// A program runs as the owner of what it finds, so it can change its inputs and
// its code for itself. The next task does not see that: inputs are laid out for
// each task, and code lies only as long as no file's version ([FileVersion])
// changed, which user code can't hide; where the system has none (Windows) it
// is laid out for each task too.
//
// A Worker serves one goroutine.
package worker
