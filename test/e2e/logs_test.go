//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const logsSpec = `pipeline: tries
transform: {cmd: [sh, code/try.sh]}
input: {repo: words, glob: "/*"}
datum: {tries: 3}
max_failed: 2
`

// Each datum says which attempt it is. One succeeds with the first, one with
// the third, one never.
const logsScript = `n=$(cat "$MARKS/$DVX_DATUM_ID" 2>/dev/null || echo 0)
n=$((n + 1))
echo $n >"$MARKS/$DVX_DATUM_ID"
word=$(ls in/words)
echo "attempt $n at $word"
case $word in
  never) exit 4 ;;
  third) [ $n -ge 3 ] || exit 5 ;;
esac
cp in/words/* out/
`

// TestLogsSurviveTheDaemon: what every attempt printed, failed ones too, is read
// after the daemon was killed and its disk is gone, through another daemon and
// from the store alone.
func TestLogsSurviveTheDaemon(t *testing.T) {
	u := newUser(t)
	marks := u.path("marks")
	u.write(map[string]string{
		"once": "1", "third": "3", "never": "0", "marks/.keep": "",
		"tries/tries.yaml": strings.Replace(logsSpec, "code/try.sh]", "code/try.sh], env: {MARKS: "+marks+"}", 1),
		"tries/try.sh":     logsScript,
	})
	store := u.path("store")
	u.dvx("init", "--bare", store)
	state := u.path("state")
	d := u.serve(store, "--state", state)
	client := u.with("DVX_SERVER", d.GRPC)
	client.dvx("repo", "create", "words")
	for _, name := range []string{"once", "third", "never"} {
		client.dvx("put", name, "words@main:/"+name)
	}
	client.dvx("pipeline", "create", "-f", filepath.Join("tries", "tries.yaml"))
	client.dvx("wait", "words")
	d.kill()
	// What a killed daemon's slots may still write into is not to be in the way.
	if err := os.Rename(state, state+".gone"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"words:/never | attempt 1 at never", "words:/never #2 | attempt 2 at never", "words:/never #3 | attempt 3 at never",
		"words:/once | attempt 1 at once",
		"words:/third | attempt 1 at third", "words:/third #2 | attempt 2 at third", "words:/third #3 | attempt 3 at third",
	}
	check := func(how, out string) {
		t.Helper()
		if got := strings.TrimSpace(out); got != strings.Join(want, "\n") {
			t.Errorf("logs %s:\n%s\nwant\n%s", how, got, strings.Join(want, "\n"))
		}
	}
	check("from the store", u.with("DVX_STORE", store).dvx("logs", "tries"))
	d = u.serve(store, "--state", state)
	client = u.with("DVX_SERVER", d.GRPC)
	check("from another daemon", client.dvx("logs", "tries"))
	inspect := client.dvx("datum", "inspect", "tries", "words:/third")
	if strings.Count(inspect, "failed, exit status 5") != 2 || strings.Count(inspect, "succeeded, exit status 0") != 1 {
		t.Errorf("attempts:\n%s", inspect)
	}
}
