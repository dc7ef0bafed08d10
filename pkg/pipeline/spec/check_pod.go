package spec

import (
	"regexp"
	"strings"
)

// imageMax bounds the reference of an image, in bytes.
const imageMax = 1024

// image refuses what can be no reference of an image; whoever resolves it says
// the rest.
func (c *checker) image(field, v string) {
	c.text(field, v)
	switch {
	case v == "":
	case len(v) > imageMax:
		c.fail(field, "%d bytes exceed the limit of %d", len(v), imageMax)
	case strings.ContainsAny(v, " \t\r\n"), strings.HasPrefix(v, "/"), strings.Contains(v, "://"):
		c.fail(field, "want a reference like debian:12 or registry.example.com/team/app:v1, found %.80q", v)
	}
}

// resources checks quantities.
func (c *checker) resources(field string, r Resources) {
	c.quantity(field+".cpu", r.CPU, `^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$`, "2, 0.5 or 500m")
	c.quantity(field+".memory", r.Memory, `^[0-9]+([kMGT]|[KMGT]i)?$`, "64Mi or 2Gi")
}

func (c *checker) quantity(field, v, pattern, example string) {
	if v != "" && (len(v) > 32 || !regexp.MustCompile(pattern).MatchString(v)) {
		c.fail(field, "want a quantity like %s, found %.40q", example, v)
	}
}
