// Command bench compares dvx with Debian's restic, borg and git, with cp and
// find, and its S3 interface with versitygw on a folder and with a plain server
// of files, on the same data in the same run: whole processes, in turns, so
// that a machine that slows down slows all of them. It prints medians and
// their ratios as the tables of docs/BENCHMARKS.md.
//
//	make bench                                  # everything, at full size: half an hour, 20 GiB of disk
//	make bench BENCH="-only big,small -runs 3"  # some groups
//	make bench BENCH="-scale 0.1"               # everything, at a tenth of the size
//
// # Rules
//
// The source is read before every group, so it is in memory. Every process
// starts with an empty write-back queue (sync before each run, not timed).
// dvx writes with full durability: what it reports is synced. The peers run as
// Debian installs them, with encryption off or with the least that they allow.
// Peak memory is the kernel's figure for the process that was waited for.
//
// Servers listen on loopback, and the client is this program: objects are
// fetched by presigned URLs with net/http, and sent by minio-go as it does by
// itself. A server's figures are of its process: it is started anew for each
// run, and asked once before the clock starts.
//
// The group pipeline runs a daemon of its own and prints its figures beside the
// line that each is to keep; -work names another folder for its programs.
//
// Nothing is installed: a peer that is missing is named and left out. All
// data is made in a folder of its own, which is removed at the end.
package main
