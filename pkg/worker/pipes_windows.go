package worker

// nonblock opens a pipe without waiting for its other end.
const nonblock = 0

// makePipe refuses: there are no named pipes among the files.
func makePipe(string) error {
	return refusef("lazy inputs are named pipes, which this system has not among its files")
}
