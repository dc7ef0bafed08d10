package spec

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Share is a number of things, or a part of however many there are. The zero
// value is none of them. At most one of its fields is set.
type Share struct {
	Count    int // of them
	Hundreds int // hundredths of a percent: from 1 to 10,000
}

// shareWhole is the part that is all of them.
const shareWhole = 100 * 100

// IsZero reports whether the share is none.
func (s Share) IsZero() bool { return s == Share{} }

// Of returns how many things of a total the share is, rounded down.
func (s Share) Of(total int64) int64 {
	if s.Hundreds == 0 {
		return int64(s.Count)
	}
	part := int64(s.Hundreds)
	return total/shareWhole*part + total%shareWhole*part/shareWhole // never more than total
}

// String returns the share as people write it: 3, 10% or 0.5%.
func (s Share) String() string {
	if s.Hundreds == 0 {
		return strconv.Itoa(s.Count)
	}
	return strconv.FormatFloat(float64(s.Hundreds)/100, 'f', -1, 64) + "%"
}

// MarshalJSON returns a number as one, and a part as a text.
func (s Share) MarshalJSON() ([]byte, error) {
	if s.Hundreds == 0 {
		return json.Marshal(s.Count)
	}
	return json.Marshal(s.String())
}

// UnmarshalJSON reads what [Share.MarshalJSON] writes.
func (s *Share) UnmarshalJSON(b []byte) error {
	*s = Share{}
	if b[0] != '"' {
		return json.Unmarshal(b, &s.Count)
	}
	var text string
	err := json.Unmarshal(b, &text)
	if err == nil {
		s.Hundreds, err = parsePercent(text)
	}
	return err
}

// parsePercent reads a part such as 10% or 0.25% as hundredths of a percent.
func parsePercent(text string) (int, error) {
	number, ok := strings.CutSuffix(text, "%")
	f, err := strconv.ParseFloat(number, 64)
	n := math.Round(f * 100)
	if !ok || err != nil || strings.Trim(number, "0123456789.") != "" || n < 1 || n > shareWhole || math.Abs(n-f*100) > 1e-6 {
		return 0, fmt.Errorf("want a number like 3, or a percentage from 0.01%% to 100%% with at most two decimals, found %.40q", text)
	}
	return int(n), nil
}
