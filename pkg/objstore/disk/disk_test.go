package disk_test

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
	"github.com/dvx-io/dvx/pkg/objstore/objstoretest"
)

func TestStore(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		// The suite may run anywhere; what network file systems do is not its
		// subject.
		s, err := disk.Create(t.Context(), t.TempDir(), disk.Options{AllowNetworkFS: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func TestStoreInMemory(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store { return openMem(t, vfs.NewMem(vfs.MemOptions{})) })
}

func openMem(t *testing.T, m *vfs.Mem) *disk.Store {
	t.Helper()
	if err := disk.CreateFS(m); err != nil {
		t.Fatal(err)
	}
	s, err := disk.OpenFS(t.Context(), m, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
