//go:build !linux

package worker

import (
	"context"
	"errors"
)

// roomy: nothing runs in memory here.
func roomy(string) bool { return false }

// lay: not here.
func (s *smallInputs) lay(context.Context, string) error { return errors.ErrUnsupported }

// remove: there is nothing.
func (s *smallInputs) remove(string) error { return nil }
