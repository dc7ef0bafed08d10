package kube

import (
	"context"
	"fmt"

	authnv1 "k8s.io/api/authentication/v1"
	coordv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// API is the few requests to a cluster that this package makes, all about one
// namespace. Errors are those of Kubernetes' API. It may be used concurrently.
type API interface {
	// CreatePod makes a Pod.
	CreatePod(ctx context.Context, p *corev1.Pod) error
	// GetPod returns a Pod, as the API server knows it now.
	GetPod(ctx context.Context, name string) (*corev1.Pod, error)
	// ListPods returns the Pods with a label, as the API server knows them now.
	ListPods(ctx context.Context, label, value string) ([]corev1.Pod, error)
	// DeletePod deletes a Pod, unless one of another UID has its name now.
	DeletePod(ctx context.Context, name string, uid types.UID) error
	// ReviewToken asks whom a token shows to an audience.
	ReviewToken(ctx context.Context, token, audience string) (authnv1.TokenReviewStatus, error)
}

// Cluster is the API of a real cluster, by the few types that are needed of it:
// a whole clientset would be most of the binary.
type Cluster struct {
	core, authn, coord rest.Interface
	params             runtime.ParameterCodec
	namespace          string
}

var (
	_ API    = (*Cluster)(nil)
	_ Leases = (*Cluster)(nil)
)

// requestsPerSecond bounds what a daemon asks of an API server.
const requestsPerSecond = 50

// Connect returns the API of the cluster that a kubeconfig file names, or that
// this process runs in if file is empty, for one namespace.
func Connect(file, namespace string) (*Cluster, error) {
	config, err := rest.InClusterConfig()
	if file != "" {
		config, err = clientcmd.BuildConfigFromFlags("", file)
	}
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	config.QPS, config.Burst = requestsPerSecond, 2*requestsPerSecond
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, authnv1.AddToScheme, coordv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("connect to the cluster: %w", err)
		}
	}
	c := &Cluster{params: runtime.NewParameterCodec(scheme), namespace: namespace}
	codecs := serializer.NewCodecFactory(scheme).WithoutConversion()
	client := func(gv schema.GroupVersion, path string) (rest.Interface, error) {
		of := rest.CopyConfig(config)
		of.GroupVersion, of.APIPath, of.NegotiatedSerializer = &gv, path, codecs
		return rest.RESTClientFor(of)
	}
	for _, of := range []struct {
		client *rest.Interface
		gv     schema.GroupVersion
		path   string
	}{
		{&c.core, corev1.SchemeGroupVersion, "/api"},
		{&c.authn, authnv1.SchemeGroupVersion, "/apis"},
		{&c.coord, coordv1.SchemeGroupVersion, "/apis"},
	} {
		if *of.client, err = client(of.gv, of.path); err != nil {
			return nil, fmt.Errorf("connect to the cluster: %w", err)
		}
	}
	return c, nil
}

// CreatePod implements [API].
func (c *Cluster) CreatePod(ctx context.Context, p *corev1.Pod) error {
	return c.core.Post().Namespace(c.namespace).Resource("pods").Body(p).Do(ctx).Error()
}

// GetPod implements [API].
func (c *Cluster) GetPod(ctx context.Context, name string) (*corev1.Pod, error) {
	var p corev1.Pod
	err := c.core.Get().Namespace(c.namespace).Resource("pods").Name(name).Do(ctx).Into(&p)
	return &p, err
}

// ListPods implements [API].
func (c *Cluster) ListPods(ctx context.Context, label, value string) ([]corev1.Pod, error) {
	var list corev1.PodList
	o := &metav1.ListOptions{LabelSelector: label + "=" + value}
	err := c.core.Get().Namespace(c.namespace).Resource("pods").VersionedParams(o, c.params).Do(ctx).Into(&list)
	return list.Items, err
}

// DeletePod implements [API].
func (c *Cluster) DeletePod(ctx context.Context, name string, uid types.UID) error {
	o := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
	return c.core.Delete().Namespace(c.namespace).Resource("pods").Name(name).Body(o).Do(ctx).Error()
}

// ReviewToken implements [API].
func (c *Cluster) ReviewToken(ctx context.Context, token, audience string) (authnv1.TokenReviewStatus, error) {
	review := &authnv1.TokenReview{Spec: authnv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	var got authnv1.TokenReview
	err := c.authn.Post().Resource("tokenreviews").Body(review).Do(ctx).Into(&got)
	return got.Status, err
}

// GetLease implements [Leases].
func (c *Cluster) GetLease(ctx context.Context, namespace, name string) (*coordv1.Lease, error) {
	var l coordv1.Lease
	err := c.coord.Get().Namespace(namespace).Resource("leases").Name(name).Do(ctx).Into(&l)
	return &l, err
}

// CreateLease implements [Leases].
func (c *Cluster) CreateLease(ctx context.Context, l *coordv1.Lease) (*coordv1.Lease, error) {
	var got coordv1.Lease
	err := c.coord.Post().Namespace(l.Namespace).Resource("leases").Body(l).Do(ctx).Into(&got)
	return &got, err
}

// UpdateLease implements [Leases].
func (c *Cluster) UpdateLease(ctx context.Context, l *coordv1.Lease) (*coordv1.Lease, error) {
	var got coordv1.Lease
	err := c.coord.Put().Namespace(l.Namespace).Resource("leases").Name(l.Name).Body(l).Do(ctx).Into(&got)
	return &got, err
}
