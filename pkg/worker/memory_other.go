//go:build !linux

package worker

import (
	"context"
	"errors"
)

// room: nothing runs in memory here.
func room(string) int64 { return 0 }

// lay: not here.
func (s *smallInputs) lay(context.Context, string) error { return errors.ErrUnsupported }

// remove: there is nothing.
func (s *smallInputs) remove(string) error { return nil }
