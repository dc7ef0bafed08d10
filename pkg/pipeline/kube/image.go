package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// Image is what a reference stood for.
type Image struct {
	Digest     string            // "sha256:…", of the manifest or the index of several platforms
	Ref        string            // REPOSITORY@DIGEST
	Command    []string          // its entry point and arguments
	Env        map[string]string //
	WorkingDir string            // "" or an absolute path
}

// Images resolves references of images. The zero Images is ready to use. It may
// be used concurrently.
type Images struct {
	Transport http.RoundTripper // nil: the default one

	mu    sync.Mutex
	known map[string]Image // by Ref; what a digest stands for never changes
}

// knownMax bounds the images that are remembered.
const knownMax = 1000

// Resolve asks a reference's registry what it stands for now.
func (m *Images) Resolve(ctx context.Context, reference string) (Image, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return Image{}, fmt.Errorf("image %q is no reference: %w", reference, fs.ErrInvalid)
	}
	if d, ok := ref.(name.Digest); ok {
		return m.At(ctx, reference, d.DigestStr())
	}
	d, err := remote.Head(ref, m.options(ctx)...)
	if err != nil {
		return Image{}, imageError(reference, err)
	}
	return m.At(ctx, reference, d.Digest.String())
}

// At returns the image of a digest in the repository of a reference, whatever
// the reference stands for now.
func (m *Images) At(ctx context.Context, reference, digest string) (Image, error) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return Image{}, fmt.Errorf("image %q is no reference: %w", reference, fs.ErrInvalid)
	}
	at := ref.Context().Digest(digest)
	m.mu.Lock()
	i, ok := m.known[at.Name()]
	m.mu.Unlock()
	if ok {
		return i, nil
	}
	img, err := remote.Image(at, m.options(ctx)...)
	if err != nil {
		return Image{}, imageError(reference, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return Image{}, imageError(reference, err)
	}
	i = Image{
		Digest: digest, Ref: at.Name(), Command: slices.Concat(config.Config.Entrypoint, config.Config.Cmd),
		Env: map[string]string{}, WorkingDir: config.Config.WorkingDir,
	}
	for _, v := range config.Config.Env {
		if name, value, ok := strings.Cut(v, "="); ok {
			i.Env[name] = value
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= knownMax {
		m.known = map[string]Image{}
	}
	m.known[at.Name()] = i
	return i, nil
}

func (m *Images) options(ctx context.Context) []remote.Option {
	o := []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
	}
	if m.Transport != nil {
		o = append(o, remote.WithTransport(m.Transport))
	}
	return o
}

// imageError says what a registry said.
func imageError(reference string, err error) error {
	var said *transport.Error
	if errors.As(err, &said) {
		switch said.StatusCode {
		case http.StatusNotFound:
			return fmt.Errorf("image %s: its registry has no such image: %w", reference, fs.ErrNotExist)
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("image %s: its registry refuses the daemon: %w", reference, fs.ErrPermission)
		}
	}
	return fmt.Errorf("image %s: ask its registry: %w", reference, err)
}

// Fill returns a transform with what the image says where the spec says
// nothing: the command, and environment variables that dvx does not set itself.
func (i Image) Fill(t spec.Transform) spec.Transform {
	if len(t.Cmd) == 0 {
		t.Cmd = i.Command
	}
	env := maps.Clone(i.Env)
	for name := range i.Env {
		if own(name) {
			delete(env, name)
		}
	}
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, t.Env)
	t.Env = env
	return t
}

// own reports whether a variable is dvx's to set.
func own(name string) bool {
	return strings.HasPrefix(name, "DVX_") || name == "HOME" || name == "TMPDIR"
}
