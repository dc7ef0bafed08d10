package worktree

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/tree"
)

// scope is the part of a working copy that a scan is about. The zero scope is
// all of it.
type scope struct {
	paths []string // sorted, without "/" at the end
}

// place says how a path lies to a scope.
type place uint8

const (
	outside place = iota
	above         // a directory on the way to what is inside
	inside
)

func newScope(paths []string) (scope, error) {
	var s scope
	for _, p := range paths {
		p = strings.TrimSuffix(p, "/")
		if p == "" || p == "." {
			return scope{}, nil
		}
		if err := tree.CheckPath(p); err != nil {
			return scope{}, fmt.Errorf("limit to a path: %w", err)
		}
		s.paths = append(s.paths, p)
	}
	slices.Sort(s.paths)
	s.paths = slices.Compact(s.paths)
	return s, nil
}

// place returns where a path lies; a directory's ends in "/", "" is the top.
func (s scope) place(path string) place {
	if len(s.paths) == 0 {
		return inside
	}
	dir := path == "" || strings.HasSuffix(path, "/")
	name := strings.TrimSuffix(path, "/")
	for p := name; p != ""; p, _ = cutLast(p) {
		if _, ok := slices.BinarySearch(s.paths, p); ok {
			return inside
		}
	}
	if dir {
		i, _ := slices.BinarySearch(s.paths, path)
		if i < len(s.paths) && strings.HasPrefix(s.paths[i], path) {
			return above
		}
	}
	return outside
}

// names returns the scope's path that a path is exactly, "" if it is none.
func (s scope) names(path string) string {
	path = strings.TrimSuffix(path, "/")
	if _, ok := slices.BinarySearch(s.paths, path); ok {
		return path
	}
	return ""
}

// cutLast splits a path into its directory, "" for the top, and its last name.
func cutLast(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}
