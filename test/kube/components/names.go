package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/dns/dnsmessage"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// zone is the cluster's domain.
const zone = "svc.cluster.local."

// namesCommand answers for the names of services, as a cluster's DNS does: A
// records of NAME.NAMESPACE.svc.cluster.local, and nothing else.
func namesCommand() *cobra.Command {
	var kubeconfig, listen string
	cmd := &cobra.Command{
		Use:   "names",
		Short: "Answer DNS queries for the services of a cluster",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			conn, err := net.ListenPacket("udp", listen)
			if err != nil {
				return err
			}
			return (&names{client: client, conn: conn}).serve(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the cluster")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:53", "address to answer on")
	return cmd
}

type names struct {
	client kubernetes.Interface
	conn   net.PacketConn
}

// serve answers one query after the other, each in a goroutine of its own.
func (n *names) serve(ctx context.Context) error {
	for {
		b := make([]byte, 1500)
		size, from, err := n.conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read query: %w", err)
		}
		go func() {
			if reply, err := n.reply(ctx, b[:size]); err == nil {
				_, _ = n.conn.WriteTo(reply, from)
			}
		}()
	}
}

// reply answers one query.
func (n *names) reply(ctx context.Context, query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	addrs, code := n.look(ctx, q)
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: h.ID, Response: true, Authoritative: true, RecursionDesired: h.RecursionDesired, RCode: code,
	})
	b.EnableCompression()
	err = errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers())
	for _, a := range addrs {
		err = errors.Join(err, b.AResource(
			dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 2},
			dnsmessage.AResource{A: a.As4()}))
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// look returns the addresses that a name stands for.
func (n *names) look(ctx context.Context, q dnsmessage.Question) ([]netip.Addr, dnsmessage.RCode) {
	rest, ok := strings.CutSuffix(strings.ToLower(q.Name.String()), "."+zone)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 2 {
		return nil, dnsmessage.RCodeNameError
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	svc, err := n.client.CoreV1().Services(parts[1]).Get(ctx, parts[0], metav1.GetOptions{})
	if err != nil {
		return nil, dnsmessage.RCodeNameError
	}
	if q.Type != dnsmessage.TypeA {
		return nil, dnsmessage.RCodeSuccess
	}
	if svc.Spec.ClusterIP != corev1.ClusterIPNone {
		return addresses(svc.Spec.ClusterIPs), dnsmessage.RCodeSuccess
	}
	ends, err := n.client.CoreV1().Endpoints(parts[1]).Get(ctx, parts[0], metav1.GetOptions{}) //nolint:staticcheck // one object per service, all that is asked for here
	if err != nil {
		return nil, dnsmessage.RCodeServerFailure
	}
	var ips []string
	for _, s := range ends.Subsets {
		for _, a := range s.Addresses {
			ips = append(ips, a.IP)
		}
	}
	return addresses(ips), dnsmessage.RCodeSuccess
}

// addresses returns those of IPv4.
func addresses(ips []string) []netip.Addr {
	var list []netip.Addr
	for _, ip := range ips {
		if a, err := netip.ParseAddr(ip); err == nil && a.Is4() {
			list = append(list, a)
		}
	}
	return list
}
