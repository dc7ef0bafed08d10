package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// file is a file of an image: a file of this machine, or a link.
type file struct{ path, from, link string }

// makeImage makes an image of files, always the same of the same.
func makeImage(config v1.Config, files ...file) (v1.Image, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	made := map[string]bool{"/": true}
	for _, f := range files {
		if err := addDirs(w, made, path.Dir(f.path)); err != nil {
			return nil, err
		}
		if err := addFile(w, f); err != nil {
			return nil, fmt.Errorf("image file %s: %w", f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", Config: config, RootFS: must(img.ConfigFile()).RootFS,
	})
}

// must is for what can't fail of an image in memory.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func addDirs(w *tar.Writer, made map[string]bool, dir string) error {
	if made[dir] {
		return nil
	}
	if err := addDirs(w, made, path.Dir(dir)); err != nil {
		return err
	}
	made[dir] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(dir, "/") + "/", Mode: 0o755})
}

func addFile(w *tar.Writer, f file) error {
	name := strings.TrimPrefix(f.path, "/")
	if f.link != "" {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: f.link})
	}
	b, err := os.ReadFile(f.from)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(b))}); err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// load puts an image of one program onto the node, past any registry.
func (c *cluster) load(ctx context.Context, ref, program, as string) error {
	img, err := makeImage(v1.Config{Entrypoint: []string{as}}, file{path: as, from: program})
	if err != nil {
		return err
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	archive := c.path(filepath.Base(program) + ".tar")
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		return err
	}
	defer func() { _ = os.Remove(archive) }()
	return c.run(ctx, "ctr", "-a", c.path("containerd.sock"), "-n", "k8s.io", "images", "import", archive)
}
