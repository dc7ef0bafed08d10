package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/blake3"
)

// Event is a line of the audit log: who changed what, or was refused.
type Event struct {
	Time      time.Time `json:"time"`
	Principal string    `json:"principal"`
	Key       string    `json:"key,omitempty"` // public part
	Edge      string    `json:"edge"`          // "s3" or "grpc"
	Operation string    `json:"operation"`     // in the edge's words
	Resource  string    `json:"resource,omitempty"`
	Request   string    `json:"request,omitempty"` // request ID or operation ID
	Outcome   string    `json:"outcome"`           // "ok", or the error's code
}

// line is an Event as it is written.
type line struct {
	Event
	Prev string `json:"prev"` // hash of the line before
}

// Audit appends events to a log of JSON lines, each with a keyed hash of the
// line before, so that a line that is removed or changed later is seen by
// [VerifyAudit]. It may be used concurrently.
type Audit struct {
	mu   sync.Mutex
	w    io.Writer
	key  [32]byte
	prev string
}

// NewAudit goes on with a log whose last line is last, nil for a new one. The
// hashes are keyed by the owner's key.
func NewAudit(w io.Writer, owner Key, last []byte) *Audit {
	a := &Audit{w: w, key: derive(auditContext, owner)}
	a.prev = hashLine(a.key, bytes.TrimRight(last, "\n"))
	return a
}

// resourceMax bounds what a line says of what was asked for, in bytes: callers
// choose it.
const resourceMax = 2048

// Append writes an event.
func (a *Audit) Append(e Event) error {
	if n := len(e.Resource) - resourceMax; n > 0 {
		e.Resource = fmt.Sprintf("%s… and %d bytes more", strings.ToValidUTF8(e.Resource[:resourceMax], ""), n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b, err := json.Marshal(line{Event: e, Prev: a.prev})
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	if _, err := a.w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	a.prev = hashLine(a.key, b)
	return nil
}

// hashLine returns the hash of a line without its end, empty for no line.
func hashLine(key [32]byte, b []byte) string {
	if len(b) == 0 {
		return ""
	}
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		return "" // never: the key has 32 bytes
	}
	_, _ = h.Write(b) // never fails
	return hex.EncodeToString(h.Sum(nil))
}

// ErrAudit is the error for an audit log of which lines were changed or
// removed.
var ErrAudit = errors.New("audit log was changed")

// VerifyAudit returns the events of a log, oldest first, and ErrAudit with the
// number of the first line that does not follow from the one before. Lines cut
// off at the end can't be seen. fs.ErrInvalid is for what is no audit log.
func VerifyAudit(log []byte, owner Key) ([]Event, error) {
	key, prev := derive(auditContext, owner), ""
	var events []Event
	for n := 1; len(log) > 0; n++ {
		b, rest, _ := bytes.Cut(log, []byte("\n"))
		log = rest
		var l line
		if err := json.Unmarshal(b, &l); err != nil {
			return events, fmt.Errorf("audit log: line %d: %s: %w", n, err.Error(), fs.ErrInvalid)
		}
		if l.Prev != prev {
			return events, fmt.Errorf("line %d: %w", n, ErrAudit)
		}
		events, prev = append(events, l.Event), hashLine(key, b)
	}
	return events, nil
}
