//go:build !linux

package vfs

import "errors"

func (f *osFile) direct(bool) error { return errors.ErrUnsupported }
