package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deploy/install.yaml anew")

const deployDir = "../../deploy"

// TestGoldenInstall: deploy/install.yaml is what the chart gives with its own
// values.
func TestGoldenInstall(t *testing.T) {
	got, err := render(filepath.Join(deployDir, "chart"), "dvx", map[string]any{"createNamespace": true})
	if err != nil {
		t.Fatal(err)
	}
	got = "# dvx in a cluster, from deploy/chart with its values. See deploy/README.md.\n" + got
	file := filepath.Join(deployDir, "install.yaml")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("deploy/install.yaml is not what the chart gives; go test ./test/kube -run Golden -args -update")
	}
}

// TestChart: whatever values change, the chart gives valid YAML, and rights that
// are no more than those that are named here.
func TestChart(t *testing.T) {
	for name, c := range map[string]struct {
		values map[string]any
		has    []string
		lacks  []string
	}{
		"as it is": {nil, []string{"--kube-lease=dvx-engine", "--no-pipelines", "--plaintext", "replicas: 2"}, []string{"kind: Ingress", "s3-cert", "persistentVolumeClaim"}},
		"one daemon on a volume": {
			map[string]any{"store": "/store", "claim": "data", "replicas": 0, "standbys": 0, "s3": map[string]any{"secret": ""}},
			[]string{"persistentVolumeClaim: {claimName: data}", "--store=/store", "replicas: 1"},
			[]string{"dvx-server\n  namespace: dvx\n  labels", "envFrom"},
		},
		"with TLS and an ingress": {
			map[string]any{"tlsSecret": "tls", "ingress": map[string]any{"host": "s3.example.com", "className": "nginx"}},
			[]string{"--s3-cert=/etc/dvx-tls/tls.crt", "host: s3.example.com", "ingressClassName: nginx"},
			[]string{"--plaintext"},
		},
		"with flags": {
			map[string]any{"workers": map[string]any{"flags": []any{"--kube-toleration=gpu"}, "pullSecrets": []any{"pull"}}},
			[]string{`"--kube-toleration=gpu"`, "--kube-pull-secret=pull"},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := render(filepath.Join(deployDir, "chart"), "dvx", c.values)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range c.has {
				if !strings.Contains(text, s) {
					t.Errorf("has no %q", s)
				}
			}
			for _, s := range c.lacks {
				if strings.Contains(text, s) {
					t.Errorf("has %q", s)
				}
			}
			all, err := docs(text)
			if err != nil {
				t.Fatal(err)
			}
			checkRights(t, all)
		})
	}
	if _, err := render(filepath.Join(deployDir, "chart"), "dvx", map[string]any{"replica": 1}); err == nil {
		t.Error("a value that is none was taken")
	}
}

// checkRights fails unless the rights are those that are needed.
func checkRights(t *testing.T, all []map[string]any) {
	t.Helper()
	for _, doc := range all {
		rules, ok := doc["rules"].([]any)
		if !ok {
			continue
		}
		for _, r := range rules {
			r, _ := r.(map[string]any)
			for _, resource := range list(r["resources"]) {
				switch verbs := strings.Join(list(r["verbs"]), " "); resource + ": " + verbs {
				case "pods: create get list delete", "leases: create", "leases: get update", "tokenreviews: create":
				default:
					t.Errorf("%v may %s %s", doc["metadata"], verbs, resource)
				}
			}
		}
	}
}

func list(v any) []string {
	var all []string
	items, _ := v.([]any)
	for _, item := range items {
		s, _ := item.(string)
		all = append(all, s)
	}
	return all
}
