//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// s3fsVerbs is a folder that s3fs mounts, and cp. Where nothing can be mounted,
// it has no verbs.
func s3fsVerbs(s *s3User) s3Verbs {
	passwd := s.u.path("passwd")
	if err := os.WriteFile(passwd, []byte(s.id+":"+s.key+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	mounted := map[string]string{}
	mount := func(bucket string) string {
		s.t.Helper()
		if dir, ok := mounted[bucket]; ok {
			return dir
		}
		dir := s.u.in("mount-" + bucket).dir
		s.run("s3fs", bucket, dir, "-o", "url=http://"+s.host, "-o", "use_path_request_style", "-o", "passwd_file="+passwd)
		s.t.Cleanup(func() { s.run("fusermount", "-u", "-z", dir) })
		mounted[bucket] = dir
		return dir
	}
	copied := func(from, to string) int { // each by itself: the times of a mount cannot be set
		all, err := filepath.Glob(from + "/*")
		if err != nil {
			s.t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(s.run("/bin/cp", append([]string{"-r", "-u", "-v", "--preserve=timestamps", "-t", to}, all...)...).out) {
			_, name, _ := strings.Cut(line, " -> ")
			name = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(name, "'"), "'\n"), `'\''`, "'") // as a shell quotes
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				n++
			}
		}
		return n
	}
	at := func(bucket, key string) string { return filepath.Join(mount(bucket), filepath.FromSlash(key)) }
	return s3Verbs{
		mb:   func(bucket string) { awscliVerbs(s).mb(bucket) }, // s3fs makes none
		sync: func(dir, bucket string) int { return copied(dir, mount(bucket)) },
		back: func(bucket, dir string) int { return copied(mount(bucket), dir) },
		up:   func(file, bucket, key string) { s.run("/bin/cp", file, at(bucket, key)) },
		down: func(bucket, key, file string) { s.run("/bin/cp", at(bucket, key), file) },
		list: func(bucket, prefix string) (keys []string) {
			root := mount(bucket)
			err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
				key, _ := filepath.Rel(root, path)
				if err == nil && !d.IsDir() && strings.HasPrefix(key, prefix) {
					keys = append(keys, key)
				}
				return err
			})
			if err != nil {
				s.t.Fatal(err)
			}
			return keys
		},
		part: func(bucket, key string, from, to int) string {
			f, err := os.Open(at(bucket, key))
			if err != nil {
				s.t.Fatal(err)
			}
			defer f.Close()
			b := make([]byte, to-from+1)
			if _, err := f.ReadAt(b, int64(from)); err != nil {
				s.t.Fatal(err)
			}
			return string(b)
		},
		copy: func(bucket, from, key string) { s.run("/bin/cp", at(bucket, from), at(bucket, key)) },
		rm: func(bucket, key string) {
			if err := os.Remove(at(bucket, key)); err != nil {
				s.t.Fatal(err)
			}
		},
	}
}

// mountable says why nothing can be mounted here, or nothing.
func mountable() string {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	f.Close()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	const sysAdmin = 21 // CAP_SYS_ADMIN of capabilities(7)
	for line := range strings.Lines(string(status)) {
		var caps uint64
		if _, err := fmt.Sscanf(line, "CapEff:\t%x", &caps); err == nil && caps&(1<<sysAdmin) == 0 {
			return "mounting is not permitted"
		}
	}
	return ""
}
