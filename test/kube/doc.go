// Command kube runs a real Kubernetes of one node on this machine, for tests:
// etcd, API server, controller manager, scheduler, containerd, kubelet,
// kube-proxy and a name server, without Docker and without an image registry.
//
//	go run ./test/kube up      prints the kubeconfig
//	go run ./test/kube kubectl get pods -A
//	go run ./test/kube down
//
// It needs root on Debian 12, and Go. What is Kubernetes' own is built from its
// Go modules (the module in components), which takes some minutes once; etcd,
// containerd, runc and the network plugins are Debian's. There is one such
// cluster per machine, because addresses and ports are fixed.
//
// The tests of this folder (make kube) run on it, or on the cluster that
// KUBECONFIG names.
package main
