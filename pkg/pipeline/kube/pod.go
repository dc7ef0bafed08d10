package kube

import (
	"fmt"
	"io/fs"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// Labels of worker Pods.
const (
	LabelDaemon   = "dvx.io/daemon"   // the store that the Pod works for
	LabelPool     = "dvx.io/pool"     // what it can run
	LabelPipeline = "dvx.io/pipeline" // for people
	labelQueue    = "kueue.x-k8s.io/queue-name"
)

// Names of the containers of a worker Pod.
const (
	InstallContainer = "install"
	AgentContainer   = "agent"
	UserContainer    = "user"
)

// Audience is for whom the tokens of workers are made.
const Audience = "dvxd"

// Users of a worker Pod. Both are of one group, so that what one writes the
// other can read where it is let.
const (
	agentUID = 64201
	userUID  = 64202
	groupID  = 64200
)

// Places in a worker Pod.
const (
	volumeDir = "/dvx" // the whole volume; install and agent only
	toolsDir  = "/dvx/tools"
	workDir   = "/dvx/work"
	callDir   = "/dvx/call"
	proofDir  = "/var/run/dvx"
)

// tokenSeconds is how long a worker's token holds; the kubelet renews it.
const tokenSeconds = 600 // the least that Kubernetes gives

// graceSeconds is how long a Pod that is deleted may finish what it runs.
const graceSeconds = 30

// PodOptions is all that a worker Pod is made of.
type PodOptions struct {
	Name           string
	Namespace      string
	Daemon         string     // the store that it works for
	Pool           lease.Pool //
	Pipeline       string
	Image          string // by digest: REPOSITORY@sha256:…
	AgentImage     string // holds /dvxd
	WorkingDir     string // in which programs start, in the image; empty: the task's folder
	Server         string // HOST:PORT of the daemon, as Pods reach it
	Pin            string // the key by which they know it, hex
	ServiceAccount string // "default" if empty
	Requests       spec.Resources
	Limits         spec.Resources
	NodeSelector   map[string]string
	Tolerations    []string // keys
	PriorityClass  string
	Queue          string   // of Kueue
	PullSecrets    []string // names of secrets in Namespace
	RuntimeClass   string
}

// BuildPod returns the Pod of a worker. It is a pure function. fs.ErrInvalid if
// a quantity is none.
func BuildPod(o PodOptions) (*corev1.Pod, error) {
	user, err := userContainer(o)
	if err != nil {
		return nil, fmt.Errorf("pod of pipeline %s: %w", o.Pipeline, err)
	}
	no := false
	grace := int64(graceSeconds)
	id, group := int64(agentUID), int64(groupID)
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: o.Name, Namespace: o.Namespace,
			Labels: map[string]string{
				"app.kubernetes.io/name": "dvx-worker", LabelDaemon: o.Daemon, LabelPool: string(o.Pool), LabelPipeline: labelValue(o.Pipeline),
			},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: &grace,
			ServiceAccountName:            o.ServiceAccount,
			AutomountServiceAccountToken:  &no,
			EnableServiceLinks:            &no,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsUser: &id, RunAsNonRoot: yes(), RunAsGroup: &group, FSGroup: &group,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			InitContainers: []corev1.Container{installContainer(o)},
			Containers:     []corev1.Container{agentContainer(o), user},
			Volumes:        volumes(),
			NodeSelector:   o.NodeSelector, PriorityClassName: o.PriorityClass,
		},
	}
	for _, key := range o.Tolerations {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists})
	}
	for _, name := range o.PullSecrets {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	if o.Queue != "" {
		pod.Labels[labelQueue] = o.Queue
	}
	if o.RuntimeClass != "" {
		pod.Spec.RuntimeClassName = &o.RuntimeClass
	}
	return pod, nil
}

// labelValue cuts a name to what a label's value can be.
func labelValue(name string) string {
	return strings.TrimRight(name[:min(len(name), 63)], "-_.")
}

func yes() *bool {
	v := true
	return &v
}

// confined is the security of a container of the user id.
func confined(id int64) *corev1.SecurityContext {
	no := false
	return &corev1.SecurityContext{
		RunAsUser: &id, RunAsNonRoot: yes(), AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: yes(),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// installContainer brings what the other two run and share.
func installContainer(o PodOptions) corev1.Container {
	return corev1.Container{
		Name: InstallContainer, Image: o.AgentImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         []string{"/dvxd", "worker", "install", volumeDir},
		VolumeMounts:    []corev1.VolumeMount{{Name: "dvx", MountPath: volumeDir}},
		SecurityContext: confined(agentUID),
		Resources:       agentResources(),
	}
}

func agentContainer(o PodOptions) corev1.Container {
	command := []string{
		"/dvxd", "worker", "run", "--server", o.Server, "--pin", o.Pin, "--proof", proofDir + "/token",
		"--work", workDir, "--call", callDir + "/stub.sock",
	}
	if o.WorkingDir != "" && o.WorkingDir != "/" {
		command = append(command, "--start-in", o.WorkingDir)
	}
	return corev1.Container{
		Name: AgentContainer, Image: o.AgentImage, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: command,
		VolumeMounts: []corev1.VolumeMount{
			{Name: "dvx", MountPath: workDir, SubPath: "work"},
			{Name: "dvx", MountPath: callDir, SubPath: "call"},
			{Name: "proof", MountPath: proofDir, ReadOnly: true},
		},
		SecurityContext:          confined(agentUID),
		Resources:                agentResources(),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
}

// agentResources is what an agent needs whatever runs beside it: the chunks
// that it holds are bounded.
func agentResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
}

func userContainer(o PodOptions) (corev1.Container, error) {
	requests, err := resourceList(o.Requests)
	if err != nil {
		return corev1.Container{}, err
	}
	limits, err := resourceList(o.Limits)
	if err != nil {
		return corev1.Container{}, err
	}
	return corev1.Container{
		Name: UserContainer, Image: o.Image, ImagePullPolicy: corev1.PullIfNotPresent,
		Command:    []string{toolsDir + "/dvxd", "worker", "stub", callDir + "/stub.sock"},
		WorkingDir: "/",
		VolumeMounts: []corev1.VolumeMount{
			{Name: "dvx", MountPath: toolsDir, SubPath: "tools", ReadOnly: true},
			{Name: "dvx", MountPath: workDir, SubPath: "work"},
			{Name: "dvx", MountPath: callDir, SubPath: "call", ReadOnly: true},
			{Name: "tmp", MountPath: "/tmp"},
		},
		SecurityContext: confined(userUID),
		Resources:       corev1.ResourceRequirements{Requests: requests, Limits: limits},
	}, nil
}

func resourceList(r spec.Resources) (corev1.ResourceList, error) {
	list := corev1.ResourceList{}
	for name, v := range map[corev1.ResourceName]string{corev1.ResourceCPU: r.CPU, corev1.ResourceMemory: r.Memory} {
		if v == "" {
			continue
		}
		q, err := resource.ParseQuantity(v)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", name, v, fs.ErrInvalid)
		}
		list[name] = q
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list, nil
}

// volumes: what agent and user share, what the user's programs may fill, and
// what proves who the agent is.
func volumes() []corev1.Volume {
	seconds := int64(tokenSeconds)
	return []corev1.Volume{
		{Name: "dvx", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "proof", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: Audience, ExpirationSeconds: &seconds, Path: "token",
			}}},
		}}},
	}
}
