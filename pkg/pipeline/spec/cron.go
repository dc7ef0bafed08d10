package spec

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// Schedule is the times of a [Cron]. It is a value.
type Schedule struct {
	times cron.Schedule
	zone  *time.Location
	start time.Time // zero: as early as may be
}

// Schedule reads the schedule. It fails with fs.ErrInvalid. The zones are those
// of the machine.
func (c Cron) Schedule() (Schedule, error) {
	bad := func(format string, args ...any) (Schedule, error) {
		return Schedule{}, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), fs.ErrInvalid)
	}
	if strings.Contains(c.Spec, "TZ=") {
		return bad("schedule %.80q: say the zone in time_zone", c.Spec)
	}
	s := Schedule{zone: time.UTC}
	if c.TimeZone != "" {
		zone, err := time.LoadLocation(c.TimeZone)
		if err != nil || c.TimeZone == "Local" {
			return bad("time zone %.80q is not known; they are called as Europe/Zurich", c.TimeZone)
		}
		s.zone = zone
	}
	times, err := cron.StandardParser().Parse(c.Spec)
	if err != nil {
		return bad("schedule %.80q: %v", c.Spec, err)
	}
	s.times = times
	if c.Start != "" {
		if s.start, err = time.Parse(time.RFC3339, c.Start); err != nil {
			return bad("start %.40q is no time as in 2026-11-20T09:00:00Z", c.Start)
		}
	}
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return bad("schedule %.80q never comes due", c.Spec)
	}
	return s, nil
}

// Next returns the first time of the schedule after t, in UTC; zero if there is
// none. An hour that a zone has twice in autumn counts once.
func (s Schedule) Next(t time.Time) time.Time {
	if t.Before(s.start) {
		t = s.start.Add(-time.Nanosecond)
	}
	next := s.times.Next(t.In(s.zone))
	const wall = "2006-01-02T15:04:05"
	for range 2 {
		if next.IsZero() || next.In(s.zone).Format(wall) != t.In(s.zone).Format(wall) {
			break
		}
		next = s.times.Next(next)
	}
	if next.IsZero() {
		return time.Time{}
	}
	return next.UTC()
}
