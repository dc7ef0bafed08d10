//go:build !linux

package main

import "github.com/spf13/cobra"

// addWorker adds nothing: worker Pods are Linux.
func addWorker(*cobra.Command) {}
