package mem_test

import (
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/objstore/objstoretest"
)

func TestStore(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Store { return mem.New(mem.Options{}) })
}

func TestModTimeIsTheClock(t *testing.T) {
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	s := mem.New(mem.Options{Now: func() time.Time { return at }})
	info, err := s.Put(t.Context(), "k", objstore.Bytes(nil), objstore.Condition{})
	if err != nil || !info.ModTime.Equal(at) {
		t.Errorf("put answers %+v, %v", info, err)
	}
}
