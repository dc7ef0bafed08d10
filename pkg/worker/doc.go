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
// # Executor
//
// How a program is executed (as a child process, in a container) is the
// [Executor]'s business.
//
// # Caveats
//
// Outputs are read without following any link. A link in out that points at an
// input becomes that input; a link that leaves out is refused, and so are
// devices, pipes and sockets.
//
// A Worker serves one goroutine.
package worker
