package spec

import (
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// Cron says when a clock makes files. Each is empty and named by its time, as
// in 2026-11-20T09:00:00Z.
type Cron struct {
	Spec      string `json:"spec"`                // minute, hour, day of month, month, day of week; or @daily, @every 2h
	TimeZone  string `json:"time_zone,omitempty"` // IANA name; UTC by default
	Start     string `json:"start,omitempty"`     // RFC 3339: no time before it; when the version was registered by default
	Overwrite bool   `json:"overwrite,omitempty"` // only the newest file stays
	Missed    string `json:"missed,omitempty"`    // what becomes of times at which no engine ran; all are made up for by default
}

// The policies for missed times, beside the default that makes up for all.
const (
	MissedLatest = "latest" // only the newest is made up for
	MissedNone   = "none"   // none is
)

// everyMin is the least time between two ticks or fetches.
const everyMin = time.Minute

// Schedule is the times of a Cron.
type Schedule struct{ s cron.Schedule }

// Schedule returns the times. It fails with fs.ErrInvalid if they can't be read.
func (c Cron) Schedule() (Schedule, error) {
	if strings.Contains(c.Spec, "TZ=") {
		return Schedule{}, fmt.Errorf("the time zone belongs into time_zone: %w", fs.ErrInvalid)
	}
	zone := c.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
		return Schedule{}, fmt.Errorf("time zone %q is not known here: want a name like Europe/Berlin: %w", zone, fs.ErrInvalid)
	}
	p := cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).WithMinEveryInterval(everyMin)
	s, err := p.Parse("CRON_TZ=" + zone + " " + c.Spec)
	if err != nil {
		return Schedule{}, fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	return Schedule{s}, nil
}

// Next returns the first time after t, in UTC; false if there is none.
func (s Schedule) Next(t time.Time) (time.Time, bool) {
	n := s.s.Next(t)
	return n.UTC(), !n.IsZero()
}

// From returns since when times count, if the spec says so.
func (c Cron) From() (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, c.Start)
	return t, err == nil
}

// Period returns how often a URL is asked for again, 0 for never.
func (in Input) Period() time.Duration { return duration(in.Every) }

// source checks what says where the files of a leaf come from.
func (k *inputCheck) source(at string, in Input) {
	if in.Cron != nil && in.URL != "" {
		k.fail(at+".url", "has no meaning beside cron: make two inputs of them")
	}
	if in.Sourced() && in.Branch != "" {
		k.fail(at+".branch", "has no meaning beside cron and url: their files are on the pipeline's own branch")
	}
	k.cron(at+".cron", in.Cron)
	k.url(at, in)
}

func (k *inputCheck) cron(at string, c *Cron) {
	if c == nil {
		return
	}
	if c.Spec == "" {
		k.fail(at+".spec", `is missing: say when, as in "0 6 * * *" or @hourly`)
	} else if s, err := c.Schedule(); err != nil {
		k.err(at+".spec", err)
	} else if _, ok := s.Next(time.Unix(0, 0)); !ok {
		k.fail(at+".spec", "%q never comes", c.Spec)
	}
	if _, ok := c.From(); c.Start != "" && !ok {
		k.fail(at+".start", "want a time as 2026-11-20T09:00:00Z, found %.40q", c.Start)
	}
	if !slices.Contains([]string{"", MissedLatest, MissedNone}, c.Missed) {
		k.fail(at+".missed", "want all, latest or none, found %.40q", c.Missed)
	}
}

func (k *inputCheck) url(at string, in Input) {
	if in.URL == "" {
		if in.Every != "" {
			k.fail(at+".every", "has no meaning without url")
		}
		return
	}
	k.text(at+".url", in.URL)
	u, err := url.Parse(in.URL)
	switch {
	case err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "s3"}, u.Scheme):
		k.fail(at+".url", "want http://…, https://… or s3://BUCKET/KEY, found %.80q", in.URL)
	case u.User != nil:
		k.fail(at+".url", "holds a password, and specs are for everybody to read")
	case u.Scheme == "s3" && strings.Trim(u.Path, "/") == "":
		k.fail(at+".url", "names a bucket: want one object of it")
	}
	k.duration(at+".every", in.Every)
	if d, err := time.ParseDuration(in.Every); err == nil && d > 0 && d < everyMin {
		k.fail(at+".every", "want at least %v, found %v", everyMin, d)
	}
}
