package sigv4

import (
	"encoding/base64"
	"errors"
	"maps"
	"testing"
	"time"
)

// examplePolicy is the example of "Browser-Based Upload using HTTP POST" in the
// S3 API reference, to the byte.
const examplePolicy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"

func exampleForm() map[string]string {
	return map[string]string{
		"policy":           examplePolicy,
		"x-amz-algorithm":  Algorithm,
		"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
		"x-amz-date":       "20151229T000000Z",
		"x-amz-signature":  "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
	}
}

func checkForm(fields map[string]string, now time.Time) error {
	c, err := ParseForm(func(name string) string { return fields[name] })
	if err != nil {
		return err
	}
	if err := c.CheckTime(now); err != nil {
		return err
	}
	return c.VerifyForm(exampleSecret)
}

func TestPublishedForm(t *testing.T) {
	now := time.Date(2015, 12, 29, 1, 0, 0, 0, time.UTC)
	if err := checkForm(exampleForm(), now); err != nil {
		t.Fatal(err)
	}
	other := base64.StdEncoding.EncodeToString([]byte(`{"expiration":"2099-01-01T00:00:00Z","conditions":[]}`))
	for _, tt := range []struct {
		name, field, value string
		now                time.Time
		want               error
	}{
		{"policy changed", "policy", other, now, ErrMismatch},
		{"signature changed", "x-amz-signature", EmptyPayload, now, ErrMismatch},
		{"region changed", "x-amz-credential", "AKIAIOSFODNN7EXAMPLE/20151229/us-east-2/s3/aws4_request", now, ErrMismatch},
		{"other day", "x-amz-credential", "AKIAIOSFODNN7EXAMPLE/20151228/us-east-1/s3/aws4_request", now, ErrMalformedForm},
		{"no policy", "policy", "", now, ErrMalformedForm},
		{"no signature", "x-amz-signature", "", now, ErrMalformedForm},
		{"no date", "x-amz-date", "", now, ErrMalformedForm},
		{"no algorithm", "x-amz-algorithm", "", now, ErrMalformedForm},
		{"other algorithm", "x-amz-algorithm", "AWS4-HMAC-SHA512", now, ErrMalformedForm},
		{"bad date", "x-amz-date", "today", now, ErrMalformedForm},
		{"bad signature", "x-amz-signature", "0", now, ErrMalformedForm},
		{"from the future", "", "", now.Add(-2 * time.Hour), ErrNotYet},
		{"a week old", "", "", now.Add(7 * 24 * time.Hour), ErrExpired},
	} {
		fields := maps.Clone(exampleForm())
		if tt.field != "" {
			fields[tt.field] = tt.value
		}
		if err := checkForm(fields, tt.now); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	if err := checkForm(map[string]string{"key": "a"}, now); !errors.Is(err, ErrAbsent) {
		t.Errorf("unsigned form: got %v, want %v", err, ErrAbsent)
	}
}
