package s3proxy_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3mem"
	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// Serve a backend to the holder of one key, and read from it with a signed
// request.
func Example() {
	now := func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }
	store := s3mem.New(now)
	if err := store.CreateBucket(context.Background(), "images"); err != nil {
		fmt.Println(err)
		return
	}
	if err := store.Add("images", s3proxy.ObjectInfo{Key: "a.txt"}, []byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	signer := sigv4.Signer{ID: "reader", Secret: "for your eyes only"}
	keys := func(_ context.Context, id string) (s3proxy.Credential, error) {
		if id != signer.ID {
			return s3proxy.Credential{}, fs.ErrNotExist
		}
		return s3proxy.Credential{Secret: signer.Secret, Principal: "ada"}, nil
	}
	handler, err := s3proxy.New(store, keys, s3proxy.Options{Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = s3proxy.NewServer(handler, nil)
	server.Start()
	defer server.Close()

	request, err := http.NewRequest("GET", server.URL+"/images/a.txt", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := signer.Sign(request, sigv4.EmptyPayload, now()); err != nil {
		fmt.Println(err)
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.Status, string(body), err)
	// Output: 200 OK hello <nil>
}
