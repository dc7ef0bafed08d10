package spec

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "1": 1, "500": 500, "2KB": 2000, "2KiB": 2048, "3MB": 3_000_000, "1MiB": 1 << 20, "10GiB": 10 << 30, "1GB": 1e9, "4TiB": 4 << 40, "4TB": 4e12,
		"0": -1, "-1": -1, "x": -1, "1 GB": -1, "1.5GB": -1, "GB": -1, "1PB": -1, "9999999999TiB": -1, "1gb": -1,
	} {
		n, err := parseSize(text)
		if (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%q: %d, %v, want %d", text, n, err, want)
		}
	}
}
