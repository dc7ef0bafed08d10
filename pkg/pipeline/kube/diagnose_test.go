package kube

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDiagnose(t *testing.T) {
	now := metav1.NewTime(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	waits := func(container, reason, message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
				Name: container, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
			})
		}
	}
	ends := func(phase corev1.PodPhase, container, reason, message string, code int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = phase
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
				Name:  container,
				State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: reason, Message: message, ExitCode: code}},
			})
		}
	}
	tests := []struct {
		name  string
		set   func(*corev1.Pod)
		class Class
		text  string
	}{
		{"new", func(*corev1.Pod) {}, Waiting, "is being started"},
		{"running", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }, None, ""},
		{"unschedulable", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodPending
			p.Status.Conditions = []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable",
				Message: "0/3 nodes are available: 1 node(s) had untolerated taint {spot: }, 2 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.",
			}}
		}, Unschedulable, "Pod pending: node(s) had untolerated taint {spot: }, insufficient cpu"},
		{"no image", waits(UserContainer, "ImagePullBackOff", "Back-off pulling image \"x\"\nmore"), NoImage, "image app@sha256:1 can't be pulled: Back-off pulling image"},
		{"no image of ours", waits(AgentContainer, "ErrImagePull", "not found"), NoImage, "image dvxd can't be pulled: not found"},
		{"bad configuration", waits(UserContainer, "CreateContainerError", "no such file"), BadPod, "container user can't be started: no such file"},
		{"creating", waits(UserContainer, "ContainerCreating", ""), Waiting, "is being started"},
		{"out of memory", ends(corev1.PodRunning, UserContainer, "OOMKilled", "", 137), OutOfMemory, "the program needed more memory than its limit of 64Mi; raise resource_limits.memory"},
		{"evicted", func(p *corev1.Pod) {
			p.Status.Phase, p.Status.Reason, p.Status.Message = corev1.PodFailed, "Evicted", "The node was low on resource: memory."
		}, Evicted, "was evicted: The node was low on resource: memory."},
		{"disrupted", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Message: "preempted"}}
		}, Evicted, "was evicted: preempted"},
		{"node shut down", func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "NodeShutdown" }, NodeLost, "its node went away"},
		{"deleted, working", func(p *corev1.Pod) { p.Status.Phase, p.DeletionTimestamp = corev1.PodRunning, &now }, Leaving, "was deleted"},
		{"deleted, over", func(p *corev1.Pod) { p.Status.Phase, p.DeletionTimestamp = corev1.PodFailed, &now }, Deleted, "was deleted"},
		{"agent failed", ends(corev1.PodFailed, AgentContainer, "Error", "dvxd: attach: denied", 7), AgentFailed, "its agent ended with status 7: dvxd: attach: denied"},
		{"done", ends(corev1.PodSucceeded, AgentContainer, "Completed", "", 0), Ended, "has ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := plainPod()
			o.Image, o.AgentImage, o.Limits.Memory = "app@sha256:1", "dvxd", "64Mi"
			p, err := BuildPod(o)
			if err != nil {
				t.Fatal(err)
			}
			tt.set(p)
			got := Diagnose(p)
			if got.Class != tt.class || !strings.Contains(got.Text, tt.text) {
				t.Errorf("%q: %s\nwant %q: %s", got.Class, got.Text, tt.class, tt.text)
			}
			over := map[Class]bool{OutOfMemory: true, Evicted: true, NodeLost: true, Deleted: true, AgentFailed: true, Ended: true}
			if got.Over() != over[tt.class] {
				t.Errorf("over: %v", got.Over())
			}
		})
	}
}
