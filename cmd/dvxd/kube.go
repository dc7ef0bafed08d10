package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
	"github.com/dvx-io/dvx/pkg/pipeline/kube"
)

// kubeFlags lets serve run the pipelines with an image in Pods.
func kubeFlags(cmd *cobra.Command, o *daemon.Options) {
	var on bool
	var config, leaseName, leaseIn string
	var ko kube.Options
	f := cmd.Flags()
	f.BoolVar(&on, "kube", false, "run pipelines with an image in Pods of a Kubernetes cluster")
	f.StringVar(&config, "kubeconfig", "", "how to reach the cluster (default: as a Pod of it)")
	f.StringVar(&ko.Pod.Namespace, "kube-namespace", "dvx-workers", "namespace of the worker Pods, which holds nothing else")
	f.StringVar(&ko.Pod.AgentImage, "kube-agent-image", "", "image that holds /dvxd of this release; worker Pods take it from there")
	f.StringVar(&ko.Pod.Server, "kube-server", "", "HOST:PORT by which Pods reach this daemon's gRPC")
	f.StringVar(&ko.Pod.Queue, "kube-queue", "", "Kueue queue that worker Pods are in")
	f.StringVar(&ko.Pod.PriorityClass, "kube-priority-class", "", "priority class of worker Pods")
	f.StringVar(&ko.Pod.RuntimeClass, "kube-runtime-class", "", "runtime class of worker Pods, for example gvisor")
	f.StringVar(&ko.Pod.ServiceAccount, "kube-service-account", "", "service account of worker Pods, which needs no rights (default: the namespace's default)")
	f.StringToStringVar(&ko.Pod.NodeSelector, "kube-node-selector", nil, "labels of the nodes that take worker Pods, as NAME=VALUE")
	f.StringSliceVar(&ko.Pod.Tolerations, "kube-toleration", nil, "keys of taints that worker Pods tolerate")
	f.StringSliceVar(&ko.Pod.PullSecrets, "kube-pull-secret", nil, "secrets in the workers' namespace by which images are pulled")
	f.IntVar(&ko.Pods, "kube-pods", 4, "worker Pods at once for each pipeline")
	f.DurationVar(&ko.Idle, "kube-idle", time.Minute, "after so long without work worker Pods go")
	f.StringVar(&leaseName, "kube-lease", "", "lease, in this Pod's namespace, that makes one of several daemons lead: the others wait")
	f.StringVar(&leaseIn, "kube-lease-namespace", "", "namespace of that lease (default: this Pod's)")
	pre := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if pre != nil {
			if err := pre(cmd, args); err != nil {
				return err
			}
		}
		if !on {
			return nil
		}
		if ko.Pod.AgentImage == "" || ko.Pod.Server == "" {
			return fmt.Errorf("--kube needs --kube-agent-image and --kube-server: %w", fs.ErrInvalid)
		}
		if leaseName != "" {
			var err error
			if o.Lead, err = leading(config, leaseIn, leaseName, func() *slog.Logger { return o.Log }); err != nil {
				return err
			}
		}
		o.Remote = func(s daemon.Site) (daemon.Remote, error) {
			api, err := kube.Connect(config, ko.Pod.Namespace)
			if err != nil {
				return nil, err
			}
			ko.API, ko.Board, ko.Images, ko.Now, ko.Rand, ko.Log = api, s.Board, &kube.Images{}, time.Now, rand.Reader, s.Options.Log
			ko.Pod.Daemon, ko.Pod.Pin = s.Store, s.Pin
			return kube.New(ko)
		}
		return nil
	}
}

// namespaceFile is where a Pod finds the name of its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// leading takes part in the election by a lease.
func leading(config, namespace, name string, log func() *slog.Logger) (*daemon.Leading, error) {
	if namespace == "" {
		b, err := os.ReadFile(namespaceFile)
		if err != nil {
			return nil, fmt.Errorf("the namespace of the lease: %w; say it as --kube-lease-namespace", err)
		}
		namespace = strings.TrimSpace(string(b))
	}
	api, err := kube.Connect(config, namespace)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	var unlike [4]byte
	if _, err := rand.Read(unlike[:]); err != nil {
		return nil, err
	}
	self := host + "_" + hex.EncodeToString(unlike[:])
	return &daemon.Leading{Name: self, Wait: func(ctx context.Context, do func(context.Context) error) error {
		e := kube.Election{API: api, Namespace: namespace, Name: name, Identity: self, Now: time.Now, Log: log()}
		return e.Lead(ctx, do)
	}}, nil
}
