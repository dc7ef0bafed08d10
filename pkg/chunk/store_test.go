package chunk_test

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/chunktest"
)

func TestMem(t *testing.T) {
	chunktest.Run(t, func(*testing.T) chunk.Store { return &chunk.Mem{} })
}
