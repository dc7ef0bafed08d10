//go:build !unix

package worker

const noFollow = 0
