package kube

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

func plainPod() PodOptions {
	return PodOptions{
		Name: "dvx-0123-ab", Namespace: "workers", Daemon: "store", Pool: "0123", Pipeline: "count",
		Image: "registry.example/app@sha256:" + strings.Repeat("1", 64), AgentImage: "registry.example/dvxd:1",
		Server: "dvxd.dvx.svc:7777", Pin: strings.Repeat("ab", 32),
	}
}

func fullPod() PodOptions {
	o := plainPod()
	o.Pipeline = strings.Repeat("long-", 20)
	o.ServiceAccount, o.WorkingDir = "counter", "/app"
	o.Requests, o.Limits = spec.Resources{CPU: "500m"}, spec.Resources{CPU: "2", Memory: "1Gi"}
	o.NodeSelector, o.Tolerations = map[string]string{"pool": "spot"}, []string{"spot"}
	o.PriorityClass, o.Queue, o.PullSecrets, o.RuntimeClass = "low", "batch", []string{"pull"}, "gvisor"
	return o
}

func TestBuildPodGolden(t *testing.T) {
	for name, o := range map[string]PodOptions{"plain": plainPod(), "full": fullPod()} {
		t.Run(name, func(t *testing.T) {
			pod, err := BuildPod(o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(pod)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "pod-"+name+".golden")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("%s (-want +got):\n%s", file, d)
			}
		})
	}
}

// TestPodIsConfined holds what the golden files show for every Pod: the
// restricted profile, and no credential within the user's reach.
func TestPodIsConfined(t *testing.T) {
	for _, o := range []PodOptions{plainPod(), fullPod()} {
		pod, err := BuildPod(o)
		if err != nil {
			t.Fatal(err)
		}
		s := pod.Spec
		if s.HostNetwork || s.HostPID || s.HostIPC || *s.AutomountServiceAccountToken || *s.EnableServiceLinks {
			t.Error("the Pod shares something of its node, or is given a token")
		}
		if s.ShareProcessNamespace != nil {
			t.Error("the containers see each other's processes")
		}
		for _, v := range s.Volumes {
			if v.EmptyDir == nil && v.Projected == nil {
				t.Errorf("volume %s is of another kind", v.Name)
			}
		}
		uids := map[int64]string{}
		for _, c := range append(s.InitContainers, s.Containers...) {
			confinedAs(t, c)
			if c.Name != InstallContainer {
				uids[*c.SecurityContext.RunAsUser] = c.Name
			}
			for _, m := range c.VolumeMounts {
				if m.Name == "proof" && c.Name != AgentContainer {
					t.Errorf("container %s can read the token", c.Name)
				}
				if c.Name == UserContainer && m.Name == "dvx" && m.SubPath == "" {
					t.Error("the user's container has the whole volume")
				}
			}
		}
		if len(uids) != 2 {
			t.Errorf("agent and user run as %v", uids)
		}
	}
}

func confinedAs(t *testing.T, c corev1.Container) {
	t.Helper()
	sc := c.SecurityContext
	if !*sc.RunAsNonRoot || *sc.RunAsUser == 0 || *sc.AllowPrivilegeEscalation || !*sc.ReadOnlyRootFilesystem {
		t.Errorf("container %s may do more than it needs: %+v", c.Name, sc)
	}
	if len(sc.Capabilities.Add) != 0 || len(sc.Capabilities.Drop) != 1 || sc.Capabilities.Drop[0] != "ALL" {
		t.Errorf("container %s has capabilities %+v", c.Name, sc.Capabilities)
	}
	if len(c.Env) != 0 || len(c.EnvFrom) != 0 {
		t.Errorf("container %s is given variables", c.Name)
	}
}

func TestBuildPodRefusesNoQuantity(t *testing.T) {
	o := plainPod()
	o.Limits.Memory = "much"
	if _, err := BuildPod(o); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("%v, want fs.ErrInvalid", err)
	}
}
