package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// writeDemoData writes a year of temperatures at four stations, a file a
// month: a mean for the season, a swing by the hour of the day, and a little
// that differs from day to day. It is the same every time.
func writeDemoData(dir string) error {
	for month := 1; month <= 12; month++ {
		var b strings.Builder
		b.WriteString("day,hour,station,celsius\n")
		for day := 1; day <= 28; day++ {
			for hour := 0; hour < 24; hour += 3 {
				for i, station := range []string{"harbour", "hill", "meadow", "roof"} {
					season := 9 - 11*math.Cos(2*math.Pi*(float64(month)-0.5)/12)
					swing := 4 * math.Cos(2*math.Pi*float64(hour-15)/24)
					noise := math.Sin(float64(day*7+month*31+i*13)) * 2.5
					fmt.Fprintf(&b, "%d,%d,%s,%.1f\n", day, hour, station, season+swing+noise-float64(i)*0.7)
				}
			}
		}
		file := filepath.Join(dir, fmt.Sprintf("2026-%02d.csv", month))
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// demoFiles are the code and the specs of the demo's two pipelines.
func demoFiles() map[string]string {
	return map[string]string{
		"monthly/monthly.yaml": `# For each month's file: minimum, mean and maximum of each station.
pipeline: monthly
transform:
  cmd: [sh, code/monthly.sh]
input:
  repo: weather
  glob: "/*"
`,
		"monthly/monthly.sh": `# One datum is one month: in/weather holds its file.
for f in in/weather/*.csv; do
  awk -F, 'NR > 1 { n[$3]++; s[$3] += $4
      if (!($3 in lo) || $4 < lo[$3]) lo[$3] = $4
      if (!($3 in hi) || $4 > hi[$3]) hi[$3] = $4 }
    END { for (k in n) printf "%s %.1f %.1f %.1f\n", k, lo[k], s[k] / n[k], hi[k] }' "$f" |
    sort > "out/$(basename "$f" .csv).txt"
  echo "summed up $f"
done
`,
		"report/report.yaml": `# For each month's summary: a line for people.
pipeline: report
transform:
  cmd: [sh, code/report.sh]
input:
  repo: monthly
  glob: "/*"
`,
		"report/report.sh": `for f in in/monthly/*.txt; do
  month=$(basename "$f" .txt)
  awk -v m="$month" '{ if (n == 0 || $4 > hi) { hi = $4; at = $1 } n++ }
    END { printf "%s: warmest at the %s, %.1f degrees\n", m, at, hi }' "$f" > "out/$month.md"
done
`,
	}
}
