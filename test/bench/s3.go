package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Sizes of what is sent and fetched over S3.
const (
	s3Big      = 1 << 30
	s3Small    = 4 << 10
	s3Count    = 10_000
	s3Listed   = 1_000_000
	s3GetAtOne = 8  // workers that fetch small objects
	s3PutAtOne = 16 // workers that send them

	s3Slow      = 1000 // clients that pause in the middle of what they send
	s3SlowBytes = 5 << 18
	s3SlowPause = 5 * time.Second
)

// request is one piece of work that several servers are asked for.
type request struct {
	name  string
	peers []string
	bytes int64    // that are moved, or
	count int64    // requests, or keys that are listed
	urls  []string // keys whose URLs are made before the clock starts
	do    func(ctx context.Context, e *endpoint, round int) (note string, err error)
}

// s3Files compares servers on one file of 1 GiB and on many of 4 KiB.
func s3Files(b *bench, dir string) error {
	a, err := b.buckets(dir)
	if err != nil {
		return err
	}
	big, count := b.scaled(s3Big), int(b.scaled(s3Count))
	if err := randomFile(filepath.Join(a.src, "big"), big); err != nil {
		return err
	}
	if err := manyFiles(a.src, count, s3Small); err != nil {
		return err
	}
	if err := a.fill("dvx"); err != nil {
		return err
	}
	if err := warm(a.src); err != nil {
		return err
	}
	key := func(i int) string { return fmt.Sprintf("d%04d/f%03d", i/perFolder, i%perFolder) }
	keys := make([]string, count)
	for i := range keys {
		keys[i] = key(i)
	}
	return b.requests(a, "S3: one incompressible object of 1 GiB, 10,000 of 4 KiB", []request{
		{
			name: "GET of one object", peers: []string{"dvx", "versitygw", "files"}, bytes: big, urls: []string{"big"},
			do: func(ctx context.Context, e *endpoint, _ int) (string, error) { return "", e.get(ctx, e.urls[0], big) },
		},
		{
			name: "GETs of 4 KiB, 8 workers", peers: []string{"dvx", "versitygw", "files"}, count: int64(count), urls: keys,
			do: func(ctx context.Context, e *endpoint, _ int) (string, error) {
				return "", each(ctx, s3GetAtOne, count, func(ctx context.Context, i int) error { return e.get(ctx, e.urls[i], s3Small) })
			},
		},
		{
			name: "PUT of one object by minio-go", peers: []string{"dvx", "versitygw"}, bytes: big,
			do: func(ctx context.Context, e *endpoint, round int) (string, error) {
				return "", e.put(ctx, fmt.Sprintf("new/big-%d", round), io.LimitReader(seeded(byte(3+round)), big), big)
			},
		},
		{
			name: "PUTs of 4 KiB, 16 workers", peers: []string{"dvx", "versitygw"}, count: int64(count),
			do: func(ctx context.Context, e *endpoint, round int) (string, error) {
				return "", each(ctx, s3PutAtOne, count, func(ctx context.Context, i int) error {
					return e.put(ctx, fmt.Sprintf("new/%d/%s", round, key(i)), io.LimitReader(seeded(byte(i)), s3Small), s3Small)
				})
			},
		},
		{
			name: "1,000 slow PUTs of 1.25 MiB", peers: []string{"dvx", "versitygw"}, count: s3Slow,
			do: func(ctx context.Context, e *endpoint, round int) (string, error) { return e.slowPuts(ctx, round) },
		},
	})
}

// s3List compares servers on a bucket of many keys.
func s3List(b *bench, dir string) error {
	a, err := b.buckets(dir)
	if err != nil {
		return err
	}
	count := int(b.scaled(s3Listed))
	if err := manyFiles(a.src, count, 16); err != nil {
		return err
	}
	if err := a.fill("dvx"); err != nil {
		return err
	}
	if err := a.forgetSource(); err != nil {
		return err
	}
	list := func(ctx context.Context, e *endpoint, _ int) (string, error) {
		n, first, err := e.list(ctx)
		if err == nil && n != count {
			err = fmt.Errorf("%d keys, want %d", n, count)
		}
		return fmt.Sprintf("first page %s", seconds(first)), err
	}
	return b.requests(a, "S3: a list of 1,000,000 keys", []request{{name: "LIST in pages of 1,000", peers: []string{"dvx", "versitygw"}, count: int64(count), do: list}})
}

// each calls f with the numbers below count, by several workers.
func each(ctx context.Context, workers, count int, f func(ctx context.Context, i int) error) error {
	all, ctx := errgroup.WithContext(ctx)
	for w := range workers {
		all.Go(func() error {
			for i := w; i < count; i += workers {
				if err := f(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// requests measures the servers in turns and prints a line for each.
func (b *bench) requests(a *arena, title string, all []request) error {
	_, _ = fmt.Fprintf(b.out, "\n## %s\n\n%s\n", title, s3TableHead)
	for _, r := range all {
		if !b.wanted(r.name) {
			continue
		}
		if err := b.request(a, r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

const s3TableHead = `| what | who | wall | CPU of the server | rate | rate of dvx / rate | peak memory of the server | |
|---|---|---|---|---|---|---|---|`

func (b *bench) request(a *arena, r request) (err error) {
	peers := slices.DeleteFunc(slices.Clone(r.peers), func(p string) bool { return !b.peers[p] })
	samples := make([][]sample, len(peers))
	for round := range b.o.runs {
		for i, p := range peers {
			got, err := b.ask(a, p, r, round)
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			_, _ = fmt.Fprintf(b.log, "%s, round %d: %s %.3f s\n", r.name, round+1, p, got.wall.Seconds())
			samples[i] = append(samples[i], got)
		}
	}
	first := median(samples[0])
	for i, p := range peers {
		m := median(samples[i])
		_, _ = fmt.Fprintf(b.out, "| %s | %s | %s | %s | %s | %s | %d MiB | %s |\n", r.name, p, seconds(m.wall), seconds(m.cpu), r.rate(m.wall),
			ratio(i, m.wall, first.wall), m.rss>>20, m.note)
	}
	return nil
}

func (r request) rate(wall time.Duration) string {
	if r.bytes > 0 {
		return fmt.Sprintf("%.0f MB/s", float64(r.bytes)/1e6/wall.Seconds())
	}
	return fmt.Sprintf("%.0f/s", float64(r.count)/wall.Seconds())
}

// ask starts a server, has it do the work and stops it again.
func (b *bench) ask(a *arena, peer string, r request, round int) (got sample, err error) {
	e, err := a.serve(peer)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	if err := e.ready(b.ctx); err != nil {
		return sample{}, err
	}
	for _, key := range r.urls {
		url, err := e.address(b.ctx, key)
		if err != nil {
			return sample{}, err
		}
		e.urls = append(e.urls, url)
	}
	before := e.cpu()
	start := time.Now()
	got.note, err = r.do(b.ctx, e, round)
	got.wall = time.Since(start)
	got.cpu, got.rss = e.cpu()-before, e.peak()
	return got, err
}
