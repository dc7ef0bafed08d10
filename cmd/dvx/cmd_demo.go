package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

func cmdDemo(a *app) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show everything work, in a temporary folder",
		Long: `Make a small data set in a temporary folder, commit it, start a daemon, register two pipelines, change the data
and the code, and show what runs again and what does not; then read versions over S3. Every command that it uses
is printed, to be tried by hand. It needs no network and no other software than a shell, and leaves nothing behind.`,
		Example: "  dvx demo\n  dvx demo --keep",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &demo{out: a.out}
			return d.run(cmd.Context(), keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the folder there, and say where it is")
	return cmd
}

// demo is one showing.
type demo struct {
	out  io.Writer
	dir  string
	info daemon.Info
	key  auth.Key
}

func (d *demo) run(ctx context.Context, keep bool) (err error) {
	if d.dir, err = os.MkdirTemp("", "dvx-demo-"); err != nil {
		return err
	}
	defer func() {
		if keep {
			d.say("The folder is kept: %s", d.dir)
			return
		}
		err = errors.Join(err, daemon.RemoveWork(d.dir))
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	stopped, err := d.serve(ctx)
	if err != nil {
		return err
	}
	err = d.show(ctx)
	cancel()
	if serr := <-stopped; err == nil && !errors.Is(serr, context.Canceled) {
		err = serr
	}
	return err
}

// say prints a heading.
func (d *demo) say(format string, args ...any) { d.print("\n== "+format+"\n", args...) }

// print writes to the spectator; if that fails there is none.
func (d *demo) print(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format, args...) }

// dvx prints a command line as one would type it, runs it, and prints what it
// prints.
func (d *demo) dvx(ctx context.Context, dir string, args ...string) (string, error) {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = arg
		if strings.ContainsAny(arg, " *'\"") {
			shown[i] = "'" + arg + "'"
		}
	}
	in := ""
	if dir != "" {
		in = dir + " "
	}
	d.print("%s$ dvx %s\n", in, strings.Join(shown, " "))
	var buf bytes.Buffer
	a := newApp(strings.NewReader(""), &buf, &buf)
	a.place.Forget = true
	defer a.close()
	root := a.root()
	full := append([]string{"-C", filepath.Join(d.dir, dir)}, args...)
	if d.info.GRPC != "" {
		full = append(full, "--server", d.info.GRPC, "--key-file", d.info.KeyFile)
	}
	root.SetArgs(full)
	back, err := os.Getwd()
	if err != nil {
		return "", err
	}
	err = root.ExecuteContext(ctx)
	for line := range strings.Lines(buf.String()) {
		d.print("  %s", strings.ReplaceAll(line, d.dir+string(filepath.Separator), ""))
	}
	return buf.String(), errors.Join(err, os.Chdir(back))
}

// prepare makes the data and its first version.
func (d *demo) prepare(ctx context.Context) error {
	d.say("A year of temperatures, a file a month. Make the folder a working copy and commit it.")
	data := filepath.Join(d.dir, "weather")
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if err := writeDemoData(data); err != nil {
		return err
	}
	for name, text := range demoFiles() {
		file := filepath.Join(d.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if _, err := d.dvx(ctx, "weather", "init"); err != nil {
		return err
	}
	_, err := d.dvx(ctx, "weather", "commit", "-m", "a year of temperatures")
	return err
}

// serve starts the daemon and waits until it listens.
func (d *demo) serve(ctx context.Context) (<-chan error, error) {
	d.say("Start the daemon: gRPC, S3, and the engine that runs pipelines as child processes.")
	d.print("$ dvx serve --store weather/.dvx/store &\n")
	ready, stopped := make(chan daemon.Info, 1), make(chan error, 1)
	go func() {
		stopped <- daemon.Run(ctx, daemon.Options{
			Store: filepath.Join(d.dir, "weather", ".dvx", "store"), Listen: "127.0.0.1:0", S3Listen: "127.0.0.1:0",
			State: filepath.Join(d.dir, "state"), KeyFile: filepath.Join(d.dir, "owner.key"), Log: slog.New(slog.DiscardHandler),
			Place: place.Options{Forget: true}, // the store is gone in the end
		}, func(i daemon.Info) error { ready <- i; return nil })
	}()
	select {
	case d.info = <-ready:
	case err := <-stopped:
		return nil, err
	}
	d.print("  gRPC on %s, S3 on %s; the commands below go through it (--server %s)\n", d.info.GRPC, d.info.S3, d.info.GRPC)
	var err error
	d.key, err = auth.LoadKey(d.info.KeyFile)
	return stopped, err
}

// show is the story.
func (d *demo) show(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.firstRun, d.changeData, d.changeCode, d.readVersions} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.say("That was it. Try the same on your own data: dvx init, dvx commit, dvx serve, dvx pipeline apply -f SPEC.")
	return nil
}

func (d *demo) firstRun(ctx context.Context) error {
	d.say("Two pipelines: monthly sums up each file, report writes a line on each summary. 12 months are 12 datums.")
	if _, err := d.dvx(ctx, "", "pipeline", "apply", "-f", "monthly/monthly.yaml"); err != nil {
		return err
	}
	if _, err := d.dvx(ctx, "", "pipeline", "apply", "-f", "report/report.yaml"); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	if err := d.expect(ctx, map[string]int64{"monthly": 12, "report": 12}); err != nil {
		return err
	}
	_, err := d.dvx(ctx, "", "cat", "report@main:/2026-07.md")
	return err
}

func (d *demo) changeData(ctx context.Context) error {
	d.say("Correct one reading in July and commit: one datum of each pipeline runs, the other 11 are memo hits.")
	file := filepath.Join(d.dir, "weather", "2026-07.csv")
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	b = append(b, "28,23,hill,41.5\n"...)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return err
	}
	d.print("weather $ echo 28,23,hill,41.5 >> 2026-07.csv\n")
	if _, err := d.dvx(ctx, "weather", "commit", "-m", "a hot night on the hill"); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	if err := d.expect(ctx, map[string]int64{"monthly": 1, "report": 1}); err != nil {
		return err
	}
	if _, err := d.dvx(ctx, "", "diff", "report@main~1", "report@main"); err != nil {
		return err
	}
	_, err = d.dvx(ctx, "", "cat", "report@main:/2026-07.md")
	return err
}

func (d *demo) changeCode(ctx context.Context) error {
	d.say("Change the code of monthly so that its output stays the same: monthly runs again, nothing downstream does.")
	file := filepath.Join(d.dir, "monthly", "monthly.sh")
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append([]byte("set -eu  # fail early\n"), b...), 0o644); err != nil {
		return err
	}
	d.print("monthly $ sed -i '1i set -eu  # fail early' monthly.sh\n")
	if _, err := d.dvx(ctx, "", "pipeline", "apply", "-f", "monthly/monthly.yaml"); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	return d.expect(ctx, map[string]int64{"monthly": 12, "report": 0})
}

func (d *demo) readVersions(ctx context.Context) error {
	d.say("Every version of every repo is there for any S3 client; here a plain signed GET.")
	for _, ref := range []string{"main", d.oldVersion(ctx)} {
		body, err := d.get(ctx, "/report/"+ref+"/2026-07.md")
		if err != nil {
			return err
		}
		d.print("$ aws --endpoint-url http://%s s3 cp s3://report/%.12s/2026-07.md -\n  %s", d.info.S3, ref, body)
	}
	return nil
}

// oldVersion returns the ID of the first version of report.
func (d *demo) oldVersion(ctx context.Context) string {
	quiet := *d
	quiet.out = io.Discard
	out, err := quiet.dvx(ctx, "", "log", "report@main", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) == 0 {
		return "main"
	}
	_, rest, _ := strings.Cut(lines[len(lines)-1], `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// get reads an object over S3 with a signed request.
func (d *demo) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.info.S3+path, nil)
	if err != nil {
		return nil, err
	}
	signer := sigv4.Signer{ID: d.key.Access, Secret: d.key.Secret, Region: "us-east-1"}
	if err := signer.Sign(req, sigv4.EmptyPayload, time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("GET %s: %s: %s", path, resp.Status, body))
	}
	return body, nil
}

// settle waits for the pipelines and shows the jobs.
func (d *demo) settle(ctx context.Context) error {
	if _, err := d.dvx(ctx, "", "wait", "weather", "--timeout", "60s"); err != nil {
		return err
	}
	_, err := d.dvx(ctx, "", "job", "list", "-n", "2")
	return err
}

// expect holds the newest jobs to the number of datums that should have run.
func (d *demo) expect(ctx context.Context, ran map[string]int64) error {
	a := newApp(nil, io.Discard, io.Discard)
	a.server, a.keyFile = d.info.GRPC, d.info.KeyFile
	defer a.close()
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	for name, want := range ran {
		for j, err := range jobs.Jobs(ctx, name) {
			if err != nil {
				return err
			}
			if j.State != history.Done || j.Counts.Ran != want {
				return fmt.Errorf("the demo went wrong: the newest job of %s is %s and ran %d datums, not %d", name, j.State, j.Counts.Ran, want)
			}
			break
		}
	}
	return nil
}
