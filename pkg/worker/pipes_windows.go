package worker

import "os"

// nonblock opens a pipe without waiting for its other end.
const nonblock = 0

// makePipe refuses: there are no named pipes among the files.
func makePipe(string) error {
	return refusef("lazy inputs and datum.batch take named pipes, which this system has not among its files")
}

// readNow is for pipes, of which there are none.
func readNow(*os.File, []byte) int { return 0 }
