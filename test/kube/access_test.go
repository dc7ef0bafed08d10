//go:build kube

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// report is what the probe finds (test/kube/probe).
type report struct {
	Name                         string
	UID                          int
	Status, Answers              map[string]string
	Env, Marks, Tokens, Writable []string
	Processes                    []string
}

// probeImage builds the probe and puts it into an image of nothing else: not
// even a shell.
func probeImage(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "probe")
	cmd := exec.Command("go", "build", "-o", out, "./probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if err := push("probe:1", v1.Config{}, file{path: "/probe", from: out}); err != nil {
		t.Fatal(err)
	}
	return image("probe:1")
}

// TestWhatAProgramReaches looks around from the user's container: it sees the
// input of its own datum, and nothing else that is anybody's.
func TestWhatAProgramReaches(t *testing.T) {
	w := newWorld(t)
	const n = 12
	for i := range n {
		w.write(fmt.Sprintf("data/d%02d", i), fmt.Sprintf("the input of datum %d\n", i))
	}
	w.dvx("data", "init", "--store", w.store)
	w.dvx("data", "commit", "-m", "inputs")
	w.serve("--kube-pods", "1")
	api := strings.TrimSpace(w.must(w.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")))
	urls := []string{"https://kubernetes.default.svc/api/v1/secrets", "https://" + shared.host + ":10250/pods", "https://" + w.info.GRPC + "/"}
	if shared.cluster != nil {
		urls = append(urls, "https://"+nodeIP+":"+apiPort+"/api/v1/namespaces/"+w.namespace+"/pods")
	} else {
		urls = append(urls, api+"/api/v1/namespaces/"+w.namespace+"/pods")
	}
	cmd, _ := json.Marshal(append([]string{"/probe"}, urls...))
	w.write("probe.yaml", fmt.Sprintf("pipeline: probe\ntransform:\n  image: %s\n  cmd: %s\ninput:\n  repo: data\n  glob: \"/*\"\n", probeImage(t), cmd))
	w.dvx("", "pipeline", "create", "-f", "probe.yaml")
	w.dvx("", "wait", "probe", "--timeout", "5m")
	w.dvx("", "checkout", "probe@main", w.path("reports"))
	for i := range n {
		b, err := os.ReadFile(w.path("reports", fmt.Sprintf("d%02d.json", i)))
		if err != nil {
			t.Fatal(err)
		}
		var r report
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			t.Logf("%s", b)
		}
		r.check(t, i)
	}
}

func (r report) check(t *testing.T, i int) {
	t.Helper()
	if r.UID == 0 || strings.Trim(r.Status["CapEff"]+r.Status["CapPrm"]+r.Status["CapBnd"], "0") != "" || r.Status["NoNewPrivs"] != "1" || r.Status["Seccomp"] != "2" {
		t.Errorf("%s runs as user %d with %v", r.Name, r.UID, r.Status)
	}
	if own := fmt.Sprintf("the input of datum %d", i); len(r.Marks) != 1 || r.Marks[0] != own {
		t.Errorf("%s can read %q", r.Name, r.Marks)
	}
	if len(r.Tokens) > 0 {
		t.Errorf("%s can read %q", r.Name, r.Tokens)
	}
	if len(r.Writable) > 0 {
		t.Errorf("%s can write to %q", r.Name, r.Writable)
	}
	for _, name := range r.Env {
		if strings.HasPrefix(name, "KUBERNETES_") || strings.Contains(name, "AWS_") || strings.Contains(name, "TOKEN") {
			t.Errorf("%s has %s in its environment", r.Name, name)
		}
	}
	for _, line := range r.Processes {
		if !strings.Contains(line, "worker stub") {
			t.Errorf("%s sees the process %q", r.Name, line)
		}
	}
	for url, answer := range r.Answers {
		switch code, _, _ := strings.Cut(answer, " "); {
		case answer == "no connection":
		case code == "401" || code == "403":
			if i == 0 {
				t.Logf("not enforced by the cluster: %s is reached, and answers %s", url, answer)
			}
		default:
			t.Errorf("%s: %s answers %s", r.Name, url, answer)
		}
	}
}
