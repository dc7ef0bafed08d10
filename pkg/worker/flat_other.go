//go:build !linux

package worker

// flat: not here.
func (c *collector) flat(string) (plain, ok bool, err error) { return false, false, nil }
