//go:build !unix

package worktree

const openFlags = 0
