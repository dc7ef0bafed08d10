package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// kubeVersion is that of the module in components.
const kubeVersion = "v1.34.4"

// controlPlane starts what decides.
func (c *cluster) controlPlane(ctx context.Context) error {
	pki := func(name string) string { return c.path("pki", name) }
	err := c.start("etcd", "etcd", "--data-dir", c.path("etcd"), "--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", etcdPeerURL, "--initial-advertise-peer-urls", etcdPeerURL, "--initial-cluster", "default="+etcdPeerURL,
		"--unsafe-no-fsync", "--log-level", "warn")
	if err != nil {
		return err
	}
	err = c.start("kube-apiserver", c.components(), "kube-apiserver", "--etcd-servers", etcdURL,
		"--bind-address", "0.0.0.0", "--advertise-address", nodeIP, "--secure-port", apiPort,
		"--tls-cert-file", pki("api.crt"), "--tls-private-key-file", pki("api.key"), "--client-ca-file", pki("ca.crt"),
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", pki("sa.pub"),
		"--service-account-signing-key-file", pki("sa.key"), "--service-cluster-ip-range", serviceNet,
		"--authorization-mode", "RBAC", "--kubelet-preferred-address-types", "InternalIP",
		"--kubelet-client-certificate", pki("admin.crt"), "--kubelet-client-key", pki("admin.key"))
	if err != nil {
		return err
	}
	err = c.await(ctx, "the API server", 2*time.Minute, func(ctx context.Context) error {
		return c.kubectl(ctx, "get", "--raw", "/readyz").Run()
	})
	if err != nil {
		return err
	}
	return errors.Join(
		c.start("kube-controller-manager", c.components(), "kube-controller-manager", "--kubeconfig", c.kubeconfig(),
			"--service-account-private-key-file", pki("sa.key"), "--root-ca-file", pki("ca.crt"), "--cert-dir", pki("manager"),
			"--leader-elect=false", "--use-service-account-credentials"),
		c.start("kube-scheduler", c.components(), "kube-scheduler", "--kubeconfig", c.kubeconfig(),
			"--authentication-kubeconfig", c.kubeconfig(), "--authorization-kubeconfig", c.kubeconfig(), "--leader-elect=false"))
}

// node starts what runs Pods.
func (c *cluster) node(ctx context.Context) error {
	if err := c.start("containerd", "containerd", "--config", c.path("containerd.toml")); err != nil {
		return err
	}
	err := c.await(ctx, "containerd", time.Minute, func(ctx context.Context) error { return c.ctr(ctx, "version").Run() })
	if err != nil {
		return err
	}
	if err := c.load(ctx, pauseImage, c.pause(), "/pause"); err != nil {
		return err
	}
	return errors.Join(
		c.start("kubelet", c.components(), "kubelet", "--config", c.path("kubelet.yaml"), "--kubeconfig", c.kubeconfig(),
			"--root-dir", c.path("kubelet"), "--cert-dir", c.path("pki", "kubelet"), "--hostname-override", nodeName, "--node-ip", nodeIP),
		c.start("kube-proxy", c.components(), "kube-proxy", "--config", c.path("kube-proxy.yaml")),
		c.start("names", c.components(), "names", "--kubeconfig", c.kubeconfig(), "--listen", nodeIP+":53"))
}

// ready waits until Pods can be made.
func (c *cluster) ready(ctx context.Context) error {
	return c.await(ctx, "the node", 2*time.Minute, func(ctx context.Context) error {
		out, err := c.kubectl(ctx, "get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`).Output()
		if err != nil {
			return err
		}
		if string(out) != "True" {
			return fmt.Errorf("node is %q", out)
		}
		return c.kubectl(ctx, "get", "serviceaccount", "default").Run()
	})
}

// files returns the configuration files by their names in the state folder.
func (c *cluster) files() map[string]string {
	say := strings.NewReplacer("$DIR", c.state, "$IP", nodeIP, "$NET", podNet, "$BRIDGE", bridge, "$NODE", nodeName, "$PAUSE", pauseImage)
	files := map[string]string{
		"containerd.toml": containerdConfig, "kubelet.yaml": kubeletConfig, "kube-proxy.yaml": proxyConfig, "cni/10-bridge.conflist": cniConfig,
	}
	for name, text := range files {
		files[name] = say.Replace(text)
	}
	files["registries/"+registry+"/hosts.toml"] = fmt.Sprintf("server = \"http://%s\"\n[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", registry, registry)
	return files
}

// A machine that is itself a container may not lower the score of a process
// that runs out of memory, hence restrict_oom_score_adj.
const containerdConfig = `version = 2
root = "$DIR/containerd/root"
state = "$DIR/containerd/state"

[grpc]
  address = "$DIR/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE"
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "$DIR/registries"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "$DIR/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`

const cniConfig = `{
  "cniVersion": "0.4.0",
  "name": "dvx",
  "plugins": [{
    "type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "hairpinMode": true,
    "ipam": {
      "type": "host-local", "dataDir": "$DIR/addresses",
      "ranges": [[{"subnet": "$NET", "rangeStart": "10.77.0.10"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`

// Old machines have the first version of control groups, which kubelets refuse
// unless told not to. Images are what tests brought: none is ever removed.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $IP
authentication:
  anonymous: {enabled: false}
  x509: {clientCAFile: $DIR/pki/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
clusterDNS: [$IP]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$DIR/containerd.sock
enforceNodeAllocatable: []
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
podLogsDir: $DIR/podlogs
registryPullQPS: 0
serializeImagePulls: false
syncFrequency: 10s
`

const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $DIR/kubeconfig}
clusterCIDR: $NET
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
hostnameOverride: $NODE
mode: iptables
`
