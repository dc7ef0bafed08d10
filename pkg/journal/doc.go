// Package journal is the daemon's durable list of work that is finished and not
// yet published.
//
// # Record
//
// A [Record] is bytes under a sequence number. [Journal.Append] returns when its
// records are synced, [Journal.Replay] gives them back in order, and
// [Journal.Trim] drops those whose work has been published since. Numbers start
// at 1 and have no gaps. After a loss of state they go on above every number that
// is still known, from the marks or from the caller.
//
// # Marks
//
// Beside the records lies a small synced file with two numbers: the high-water
// mark, up to which records were acknowledged, and the trim mark, up to which
// they were dropped. So a journal that opens knows what it must hold.
//
// # Recovery
//
// [Open] compares. A record that is missing between the marks, a record or a mark
// that is not what was written, a database that does not open: each of these
// means that state was lost. Then nothing of it is used: the folder is set
// aside, an empty journal takes its place, and [Recovery] says so. What was lost
// is the work since the last checkpoint, which runs again; a daemon never fails
// to start for it. Open fails only where a fresh journal could not be had
// either, or another process has the folder.
//
// A folder that was wiped, marks and all, is an empty journal. Only what the
// caller knows of it ([Options.Seen]) keeps its numbers from coming again.
//
// # Caveats
//
// A failed sync leaves unknown what is on the disk, and asking again may
// succeed without anything having been written. So after the first failure to
// write, every call that writes fails with [ErrFailed]; the process should end
// and open the journal anew, which finds out what is there.
//
// Records lie in Badger, which writes through memory maps: a disk that is full
// or fails under a map ends the process by a signal, not by an error. What was
// acknowledged before is there when the journal is opened again.
//
// A Journal and a [Mem] may be used by any number of goroutines.
package journal
