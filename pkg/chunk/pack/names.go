package pack

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// The folders of packs and index segments. Below them a session has a folder
// of its own name, so that listings are sorted by start generation.
const (
	PackPrefix    = "packs/"
	SegmentPrefix = "idx/"
)

const (
	genDigits     = 16
	randomSizeMax = 64 // bytes of a session name's random part
)

// SessionName returns the name of a session that started at generation
// startGen of the root. random makes it unique: 1 to 64 of [0-9a-z]. Names are
// never used twice. The error wraps fs.ErrInvalid.
func SessionName(startGen uint64, random string) (string, error) {
	name := fmt.Sprintf("%016x-%s", startGen, random)
	if _, err := ParseSession(name); err != nil {
		return "", err
	}
	return name, nil
}

// ParseSession returns the start generation in a session's name. The error
// wraps fs.ErrInvalid.
func ParseSession(name string) (startGen uint64, err error) {
	bad := fmt.Errorf("session name %.100q: want 16 hex digits, -, 1 to %d of [0-9a-z]: %w", name, randomSizeMax, fs.ErrInvalid)
	gen, random, ok := strings.Cut(name, "-")
	if !ok || len(gen) != genDigits || len(random) < 1 || len(random) > randomSizeMax {
		return 0, bad
	}
	for i := range len(random) {
		if c := random[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return 0, bad
		}
	}
	startGen, err = strconv.ParseUint(gen, 16, 64)
	if err != nil || gen != fmt.Sprintf("%016x", startGen) {
		return 0, bad
	}
	return startGen, nil
}

// ParseKey returns the session in the key of a pack or segment, and its start
// generation. The error wraps fs.ErrInvalid.
func ParseKey(key string) (session string, startGen uint64, err error) {
	bad := fmt.Errorf("key %.200q is of no pack or index segment: %w", key, fs.ErrInvalid)
	rest, isPack := strings.CutPrefix(key, PackPrefix)
	if !isPack {
		var ok bool
		if rest, ok = strings.CutPrefix(key, SegmentPrefix); !ok {
			return "", 0, bad
		}
	}
	session, number, _ := strings.Cut(rest, "/")
	if !isPack {
		number = strings.TrimPrefix(number, "m")
	}
	if n, err := strconv.ParseUint(number, 10, 31); err != nil || number != fmt.Sprintf("%08d", n) {
		return "", 0, bad
	}
	if startGen, err = ParseSession(session); err != nil {
		return "", 0, bad
	}
	return session, startGen, nil
}

func packKey(session string, n int) string {
	return fmt.Sprintf("%s%s/%08d", PackPrefix, session, n)
}

func segmentKey(session string, n int) string {
	return fmt.Sprintf("%s%s/%08d", SegmentPrefix, session, n)
}

// mergedKey names merged and rebuilt segments, whose numbers are the caller's.
func mergedKey(session string, n int) string {
	return fmt.Sprintf("%s%s/m%08d", SegmentPrefix, session, n)
}
