package kube

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Class says what kind of trouble a Pod has.
type Class string

// The classes of trouble.
const (
	None          Class = ""              // it runs, or is about to
	Waiting       Class = "waiting"       // it is being started
	Unschedulable Class = "unschedulable" // no node takes it
	NoImage       Class = "no image"      // an image can't be had
	Refused       Class = "refused"       // the cluster does not let it be made
	BadPod        Class = "bad pod"       // it can't be started as it is
	OutOfMemory   Class = "out of memory" // it was ended at its memory limit
	Evicted       Class = "evicted"       // its node took it back
	NodeLost      Class = "node lost"     // its node does not answer
	Leaving       Class = "leaving"       // it was deleted, and finishes what it has
	Deleted       Class = "deleted"       // by somebody
	AgentFailed   Class = "worker failed" // our part of it
	Ended         Class = "ended"         // it has done what it was to do
)

// Trouble is what keeps a Pod from working, in words for people.
type Trouble struct {
	Class Class
	Text  string
}

// Over reports whether the Pod will never work again.
func (t Trouble) Over() bool {
	switch t.Class {
	case OutOfMemory, Evicted, NodeLost, Deleted, AgentFailed, Ended:
		return true
	default:
		return false
	}
}

// Diagnose says what a Pod is doing. It is a pure function of what the cluster
// says of it.
func Diagnose(p *corev1.Pod) Trouble {
	name := "Pod " + p.Name
	if t, ok := ended(p, name); ok {
		return t
	}
	if p.DeletionTimestamp != nil {
		if p.Status.Reason == "NodeLost" {
			return Trouble{NodeLost, name + ": its node does not answer"}
		}
		return Trouble{Leaving, name + " was deleted"}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return Trouble{Unschedulable, "Pod pending: " + schedulerWords(c.Message)}
		}
	}
	for _, s := range append(append([]corev1.ContainerStatus(nil), p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...) {
		if t, ok := stuck(p, s); ok {
			return t
		}
	}
	if p.Status.Phase == corev1.PodPending || p.Status.Phase == "" {
		return Trouble{Waiting, name + " is being started"}
	}
	return Trouble{}
}

// ended says how a Pod came to its end.
func ended(p *corev1.Pod, name string) (Trouble, bool) {
	for _, s := range p.Status.ContainerStatuses {
		end := s.State.Terminated
		if end == nil || s.Name != UserContainer {
			continue
		}
		if end.Reason == "OOMKilled" {
			return Trouble{OutOfMemory, name + ": the program needed more memory than its limit" + limitOf(p) + "; raise resource_limits.memory"}, true
		}
	}
	if p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
		return Trouble{}, false
	}
	switch p.Status.Reason {
	case "Evicted":
		return Trouble{Evicted, name + " was evicted: " + oneLine(p.Status.Message)}, true
	case "NodeLost", "NodeShutdown", "Terminated":
		return Trouble{NodeLost, name + ": its node went away"}, true
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return Trouble{Evicted, name + " was evicted: " + oneLine(c.Message)}, true
		}
	}
	if p.DeletionTimestamp != nil {
		return Trouble{Deleted, name + " was deleted"}, true
	}
	for _, s := range append(append([]corev1.ContainerStatus(nil), p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...) {
		end := s.State.Terminated
		if end != nil && end.ExitCode != 0 && s.Name != UserContainer {
			return Trouble{AgentFailed, fmt.Sprintf("%s: its %s ended with status %d: %s", name, s.Name, end.ExitCode, oneLine(end.Message))}, true
		}
	}
	return Trouble{Ended, name + " has ended"}, true
}

func limitOf(p *corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		if q, ok := c.Resources.Limits[corev1.ResourceMemory]; ok && c.Name == UserContainer {
			return " of " + q.String()
		}
	}
	return ""
}

// stuck says why a container does not start.
func stuck(p *corev1.Pod, s corev1.ContainerStatus) (Trouble, bool) {
	w := s.State.Waiting
	if w == nil {
		return Trouble{}, false
	}
	switch w.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ErrImageInspect", "SignatureValidationFailed":
		return Trouble{NoImage, fmt.Sprintf("image %s can't be pulled: %s", imageOf(p, s.Name), oneLine(w.Message))}, true
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff":
		return Trouble{BadPod, fmt.Sprintf("Pod %s: container %s can't be started: %s", p.Name, s.Name, oneLine(w.Message))}, true
	}
	return Trouble{}, false
}

// imageOf returns the image that a container was asked to have: its status
// names none before it was pulled.
func imageOf(p *corev1.Pod, container string) string {
	for _, c := range append(append([]corev1.Container(nil), p.Spec.InitContainers...), p.Spec.Containers...) {
		if c.Name == container {
			return c.Image
		}
	}
	return "?"
}

// schedulerWords makes "0/1 nodes are available: 1 Insufficient cpu. …" short.
func schedulerWords(m string) string {
	_, why, ok := strings.Cut(m, "nodes are available: ")
	if !ok {
		return oneLine(m)
	}
	why, _, _ = strings.Cut(why, ". ")
	var parts []string
	for part := range strings.SplitSeq(strings.TrimSuffix(why, "."), ", ") {
		parts = append(parts, strings.ToLower(strings.TrimLeft(part, "0123456789 ")))
	}
	return strings.Join(parts, ", ")
}

// oneLine returns the first line of a message, of bounded length.
func oneLine(m string) string {
	m, _, _ = strings.Cut(strings.TrimSpace(m), "\n")
	if len(m) > 300 {
		m = strings.ToValidUTF8(m[:300], "") + "…"
	}
	return m
}
