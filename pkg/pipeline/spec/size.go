package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// DatumMaxOutput returns how many bytes an attempt may store, 0 for any number.
func (s Spec) DatumMaxOutput() int64 {
	n, _ := parseSize(s.Datum.MaxOutput) // validated
	return n
}

// parseSize reads a size as people write it: a whole number of bytes, or of a
// unit from KB to TB (powers of 1000) or KiB to TiB (powers of 1024). The empty
// text is 0; a size that is given is at least 1.
func parseSize(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, unit := text, int64(1)
	for i, prefix := range []string{"K", "M", "G", "T"} {
		for suffix, base := range map[string]int64{prefix + "B": 1000, prefix + "iB": 1024} {
			if rest, ok := strings.CutSuffix(text, suffix); ok {
				number = rest
				for range i + 1 {
					unit *= base
				}
			}
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("want a size like 500MB or 10GiB, found %.40q", text)
	}
	return n * unit, nil
}
