//go:build e2e

package e2e

import (
	"path/filepath"
)

// s3Programs use S3 for something of their own; src is the folder that the
// clients of s3Cases send.
var s3Programs = []struct {
	name string
	run  func(s *s3User, src string)
}{
	{"restic", resticBackup},
	{"polars", polarsScan},
}

// resticBackup keeps restic's repository in a bucket.
func resticBackup(s *s3User, src string) {
	awscliVerbs(s).mb("main.restic")
	s.u = s.u.with("RESTIC_PASSWORD", "secret", "RESTIC_REPOSITORY", "s3:http://"+s.host+"/main.restic", "RESTIC_CACHE_DIR", s.u.path("cache"))
	s.run("restic", "init")
	s.run("restic", "backup", src)
	s.run("restic", "check", "--read-data")
}

// polarsScan scans Parquet files over S3, one of several row groups and all
// that a pattern names.
func polarsScan(s *s3User, _ string) {
	const rows = 300_000
	c := s.startScript(tool(s.t, "node"), filepath.Join(npmClients(s.t), "polars.mjs"))
	request[any](c, "make", s.u.path("a.parquet"), "300000")
	v := minioVerbs(s)
	v.mb("main.polars")
	v.up(s.u.path("a.parquet"), "main.polars", "tables/a.parquet")
	v.up(s.u.path("a.parquet"), "main.polars", "tables/b.parquet")
	const odds = rows / 2 * rows / 2 // the sum of the odd numbers below rows
	for url, want := range map[string]float64{"s3://main.polars/tables/a.parquet": odds, "s3://polars/main/tables/*.parquet": 2 * odds} {
		if got := request[float64](c, "sum", url); got != want {
			s.t.Errorf("the sum over %s is %.0f, want %.0f", url, got, want)
		}
	}
}
