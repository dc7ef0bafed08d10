package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kube:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	c, err := newCluster()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "up":
		if err := c.up(ctx); err != nil {
			return err
		}
		fmt.Println(c.kubeconfig())
		return nil
	case len(args) == 1 && args[0] == "down":
		return c.down(ctx)
	case len(args) > 1 && args[0] == "kubectl":
		cmd := c.kubectl(ctx, args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	default:
		return errors.New("usage: kube up | down | kubectl ARG")
	}
}

// stateDir is where the cluster of this machine lives, and cacheDir what was
// built for it.
func dirs() (state, cache string, err error) {
	if cache, err = os.UserCacheDir(); err != nil {
		return "", "", err
	}
	if state = os.Getenv("DVX_KUBE_DIR"); state == "" {
		state = filepath.Join(os.TempDir(), "dvx-kube-node")
	}
	return state, filepath.Join(cache, "dvx-kube-node"), nil
}
