package local

import (
	"fmt"
	"os"
)

// Scope returns the trust scope of results that runners make for this user on
// this host: they serve whoever runs on the same host as the same user, since
// both could have changed what a program found there.
func Scope() string { return fmt.Sprintf("local:%s:%d", hostFingerprint(), os.Getuid()) }
