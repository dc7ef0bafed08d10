//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

func awscliVerbs(s *s3User) s3Verbs {
	aws := func(args ...string) string {
		s.t.Helper()
		return s.run("aws", append([]string{"--endpoint-url", "http://" + s.host}, args...)...).out
	}
	texts := func(operation, query string, args ...string) []string {
		out := aws(append([]string{"s3api", operation, "--output", "json", "--query", query}, args...)...)
		return slices.Compact(decode[[]string](s.t, out))
	}
	return s3Verbs{
		mb: func(bucket string) { aws("s3", "mb", "s3://"+bucket) },
		sync: func(dir, bucket string) int {
			return strings.Count(aws("s3", "sync", "--no-progress", dir, "s3://"+bucket), "upload:")
		},
		back: func(bucket, dir string) int {
			return strings.Count(aws("s3", "sync", "--no-progress", "s3://"+bucket, dir), "download:")
		},
		up:   func(file, bucket, key string) { aws("s3", "cp", "--no-progress", file, "s3://"+bucket+"/"+key) },
		down: func(bucket, key, file string) { aws("s3", "cp", "--no-progress", "s3://"+bucket+"/"+key, file) },
		list: func(bucket, prefix string) []string {
			return texts("list-objects-v2", "Contents[].Key", "--bucket", bucket, "--prefix", prefix)
		},
		part: func(bucket, key string, from, to int) string {
			aws("s3api", "get-object", "--bucket", bucket, "--key", key, "--range", fmt.Sprintf("bytes=%d-%d", from, to), s.u.path("part"))
			return readFile(s.t, s.u.path("part"))
		},
		presign: func(bucket, key string) string {
			return strings.TrimSpace(aws("s3", "presign", "s3://"+bucket+"/"+key))
		},
		versions: func(bucket, key string) []string {
			return texts("list-object-versions", "Versions[].VersionId", "--bucket", bucket, "--prefix", key)
		},
		copy: func(bucket, from, key string) {
			aws("s3", "cp", "--no-progress", "s3://"+bucket+"/"+from, "s3://"+bucket+"/"+key)
		},
		rm: func(bucket, key string) { aws("s3", "rm", "s3://"+bucket+"/"+key) },
	}
}

func s3cmdVerbs(s *s3User) s3Verbs {
	s.u.write(map[string]string{"s3cfg": fmt.Sprintf("[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %s\nuse_https = False\n",
		s.id, s.key, s.host, s.host)})
	s3cmd := func(args ...string) string {
		s.t.Helper()
		return s.run("s3cmd", append([]string{"-c", s.u.path("s3cfg"), "--no-progress"}, args...)...).out
	}
	return s3Verbs{
		mb: func(bucket string) { s3cmd("mb", "s3://"+bucket) },
		sync: func(dir, bucket string) int {
			return strings.Count(s3cmd("sync", dir+"/", "s3://"+bucket+"/"), "upload:")
		},
		back: func(bucket, dir string) int {
			return strings.Count(s3cmd("sync", "s3://"+bucket+"/", dir+"/"), "download:")
		},
		up:   func(file, bucket, key string) { s3cmd("put", file, "s3://"+bucket+"/"+key) },
		down: func(bucket, key, file string) { s3cmd("get", "--force", "s3://"+bucket+"/"+key, file) },
		list: func(bucket, prefix string) (keys []string) {
			for line := range strings.Lines(s3cmd("ls", "-r", "s3://"+bucket+"/"+prefix)) {
				_, key, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "s3://"+bucket+"/")
				keys = append(keys, key)
			}
			return keys
		},
		presign: func(bucket, key string) string {
			return strings.TrimSpace(s3cmd("signurl", "s3://"+bucket+"/"+key, "+600"))
		},
		copy: func(bucket, from, key string) { s3cmd("cp", "s3://"+bucket+"/"+from, "s3://"+bucket+"/"+key) },
		rm:   func(bucket, key string) { s3cmd("del", "s3://"+bucket+"/"+key) },
	}
}

func rcloneVerbs(s *s3User) s3Verbs {
	s.u = s.u.with("RCLONE_CONFIG_R_TYPE", "s3", "RCLONE_CONFIG_R_PROVIDER", "Other", "RCLONE_CONFIG_R_ENDPOINT", "http://"+s.host,
		"RCLONE_CONFIG_R_ACCESS_KEY_ID", s.id, "RCLONE_CONFIG_R_SECRET_ACCESS_KEY", s.key, "RCLONE_CONFIG", s.u.path("rclone.conf"))
	copied := func(args ...string) int {
		return strings.Count(s.run("rclone", append(args, "-v")...).err, ": Copied ")
	}
	return s3Verbs{
		mb:    func(bucket string) { s.run("rclone", "mkdir", "r:"+bucket) },
		sync:  func(dir, bucket string) int { return copied("sync", dir, "r:"+bucket) },
		back:  func(bucket, dir string) int { return copied("sync", "r:"+bucket, dir) },
		check: func(dir, bucket string) { s.run("rclone", "check", dir, "r:"+bucket) },
		up:    func(file, bucket, key string) { s.run("rclone", "copyto", file, "r:"+bucket+"/"+key) },
		down:  func(bucket, key, file string) { s.run("rclone", "copyto", "r:"+bucket+"/"+key, file) },
		list: func(bucket, prefix string) (keys []string) {
			for name := range strings.Lines(s.run("rclone", "lsf", "-R", "--files-only", "r:"+bucket+"/"+prefix).out) {
				keys = append(keys, prefix+strings.TrimSuffix(name, "\n"))
			}
			return keys
		},
		part: func(bucket, key string, from, to int) string {
			return s.run("rclone", "cat", "--offset", fmt.Sprint(from), "--count", fmt.Sprint(to-from+1), "r:"+bucket+"/"+key).out
		},
		presign: func(bucket, key string) string {
			return strings.TrimSpace(s.run("rclone", "link", "r:"+bucket+"/"+key).out)
		},
		versions: func(bucket, key string) []string {
			dir, name := filepath.Split(key)
			out := s.run("rclone", "lsf", "--s3-versions", "--include", "/"+strings.TrimSuffix(name, filepath.Ext(name))+"*", "r:"+bucket+"/"+dir).out
			return slices.Collect(strings.Lines(out))
		},
		copy: func(bucket, from, key string) { s.run("rclone", "copyto", "r:"+bucket+"/"+from, "r:"+bucket+"/"+key) },
		rm:   func(bucket, key string) { s.run("rclone", "deletefile", "r:"+bucket+"/"+key) },
	}
}

func mcVerbs(s *s3User) s3Verbs {
	s.u = s.u.with("MC_HOST_d", fmt.Sprintf("http://%s:%s@%s", s.id, s.key, s.host), "MC_CONFIG_DIR", s.u.path("mc"))
	type line struct{ Status, Key, Share, VersionID string }
	mc := func(args ...string) []line {
		s.t.Helper()
		return decodeLines[line](s.t, s.run(binary(s.t, "mc"), append([]string{"--json", "--quiet"}, args...)...).out)
	}
	sent := func(lines []line) (n int) {
		for _, l := range lines {
			if l.Status == "success" && l.Key == "" {
				n++
			}
		}
		return n
	}
	return s3Verbs{
		mb:   func(bucket string) { mc("mb", "d/"+bucket) },
		sync: func(dir, bucket string) int { return sent(mc("mirror", "--overwrite", dir, "d/"+bucket)) - 1 }, // the last line sums up
		back: func(bucket, dir string) int { return sent(mc("mirror", "--overwrite", "d/"+bucket, dir)) - 1 },
		up:   func(file, bucket, key string) { mc("cp", file, "d/"+bucket+"/"+key) },
		down: func(bucket, key, file string) { mc("cp", "d/"+bucket+"/"+key, file) },
		list: func(bucket, prefix string) (keys []string) {
			for _, l := range mc("ls", "--recursive", "d/"+bucket+"/"+prefix) {
				keys = append(keys, prefix+l.Key)
			}
			return keys
		},
		presign: func(bucket, key string) string { return mc("share", "download", "d/"+bucket+"/"+key)[0].Share },
		versions: func(bucket, key string) (ids []string) {
			for _, l := range mc("ls", "--versions", "d/"+bucket+"/"+key) {
				ids = append(ids, l.VersionID)
			}
			return ids
		},
		copy: func(bucket, from, key string) { mc("cp", "d/"+bucket+"/"+from, "d/"+bucket+"/"+key) },
		rm:   func(bucket, key string) { mc("rm", "d/"+bucket+"/"+key) },
	}
}
