package place

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/objstore/limit"
)

// Options says how to open a place. Limits are as a user types them: "10MB" or
// "4 MiB" a second, a number of requests a second, "" for none.
type Options struct {
	AllowNetworkFS bool // accept a folder on NFS, SMB or FUSE
	Forget         bool // of a store that will not be there again: do not keep what root was seen

	LimitUpload, LimitDownload string // of bytes per second
	LimitRequests              string // of requests per second
}

// AddFlags adds the options to a command and those below it.
func (o *Options) AddFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.BoolVar(&o.AllowNetworkFS, "allow-network-fs", false, "accept a store on NFS, SMB or FUSE")
	f.StringVar(&o.LimitUpload, "limit-upload", os.Getenv("DVX_LIMIT_UPLOAD"), "send at most this to a bucket per second, for example 10MB (DVX_LIMIT_UPLOAD)")
	f.StringVar(&o.LimitDownload, "limit-download", os.Getenv("DVX_LIMIT_DOWNLOAD"), "read at most this from a bucket per second (DVX_LIMIT_DOWNLOAD)")
	f.StringVar(&o.LimitRequests, "limit-requests", os.Getenv("DVX_LIMIT_REQUESTS"), "make at most so many requests to a bucket per second (DVX_LIMIT_REQUESTS)")
}

// limiter returns what keeps requests within the limits.
func (o *Options) limiter() (*limit.Limiter, error) {
	up, err := parseRate("--limit-upload", o.LimitUpload)
	if err != nil {
		return nil, err
	}
	down, err := parseRate("--limit-download", o.LimitDownload)
	if err != nil {
		return nil, err
	}
	requests := 0.0
	if o.LimitRequests != "" {
		requests, err = strconv.ParseFloat(o.LimitRequests, 64)
		if err != nil || !(requests > 0) {
			return nil, fmt.Errorf("--limit-requests %q is no positive number of requests per second: %w", o.LimitRequests, fs.ErrInvalid)
		}
	}
	return limit.New(limit.Options{Upload: up, Download: down, Requests: requests, Now: time.Now})
}

func parseRate(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<62 {
		return 0, fmt.Errorf("%s %q is no number of bytes per second, such as 10MB or 512KiB: %w", flag, text, fs.ErrInvalid)
	}
	return int64(n), nil
}
