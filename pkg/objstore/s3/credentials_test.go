package s3

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestAsksMachine(t *testing.T) {
	for _, tt := range []struct {
		endpoint, name, value string
		want                  bool
	}{
		{"", "", "", true},
		{"https://s3.eu-central-1.amazonaws.com", "", "", true},
		{"s3.cn-north-1.amazonaws.com.cn", "", "", true},
		{"", "AWS_EC2_METADATA_DISABLED", "TRUE", false},
		{"http://127.0.0.1:7070", "", "", false},
		{"https://amazonaws.com.example.org", "", "", false},
		{"http://127.0.0.1:7070", "AWS_WEB_IDENTITY_TOKEN_FILE", "/x", true},
		{"http://127.0.0.1:7070", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x", true},
	} {
		env := func(name string) string {
			if name == tt.name {
				return tt.value
			}
			return ""
		}
		if got := asksMachine(tt.endpoint, env); got != tt.want {
			t.Errorf("%q with %s=%s: %v", tt.endpoint, tt.name, tt.value, got)
		}
	}
}

// TestUsualCredentials finds credentials where the tools of Amazon look.
func TestUsualCredentials(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	key := func() string {
		s, err := newStore(Options{Bucket: "bucket", Endpoint: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.checkCredentials(); err != nil {
			if !errors.Is(err, fs.ErrPermission) {
				t.Error(err)
			}
			return ""
		}
		v, err := s.client.GetCreds()
		if err != nil {
			t.Fatal(err)
		}
		return v.AccessKeyID + " " + v.SecretAccessKey + " " + v.SessionToken
	}
	if got := key(); got != "" {
		t.Errorf("out of nowhere: %q", got)
	}
	write := func(name, text string) {
		path := filepath.Join(home, ".aws", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("config", "[default]\naws_access_key_id = c1\naws_secret_access_key = s1\n[profile work]\naws_access_key_id = c2\naws_secret_access_key = s2\n")
	if got := key(); got != "c1 s1 " {
		t.Errorf("configuration file: %q", got)
	}
	write("credentials", "[default]\naws_access_key_id = d1\naws_secret_access_key = t1\n[other]\naws_access_key_id = d3\naws_secret_access_key = t3\n")
	if got := key(); got != "d1 t1 " {
		t.Errorf("credentials file: %q", got)
	}
	for profile, want := range map[string]string{"work": "c2 s2 ", "other": "d3 t3 ", "none": ""} {
		t.Setenv("AWS_PROFILE", profile)
		if got := key(); got != want {
			t.Errorf("profile %s: %q", profile, got)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "e1")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "u1")
	t.Setenv("AWS_SESSION_TOKEN", "token")
	if got := key(); got != "e1 u1 token" {
		t.Errorf("environment: %q", got)
	}
}
