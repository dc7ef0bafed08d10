package history

import "time"

// AsOf returns what was known of a job at a time, given its last record. It
// reports false if there was no such job yet. Of the counts of a job that was
// under way, only those are kept that were known when its datums were listed.
func (j Job) AsOf(t time.Time) (Job, bool) {
	if j.Created.After(t) {
		return Job{}, false
	}
	if !j.Ended.IsZero() && !j.Ended.After(t) || j.Ended.IsZero() && !j.State.Final() && (j.Started.IsZero() || !j.Started.After(t)) {
		return j, true
	}
	j.Ended, j.Reason, j.By = time.Time{}, "", ""
	clear(j.Output[:])
	if !j.Started.IsZero() && !j.Started.After(t) {
		j.State, j.Counts = Running, Counts{Total: j.Counts.Total, Hit: j.Counts.Hit}
		return j, true
	}
	j.State, j.Started, j.Counts = Pending, time.Time{}, Counts{}
	return j, true
}
