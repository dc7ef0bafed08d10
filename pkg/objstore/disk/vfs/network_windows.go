package vfs

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/windows"
)

func networkFS(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the drive of %s: %w", dir, err)
	}
	volume, err := windows.UTF16PtrFromString(filepath.VolumeName(abs) + `\`)
	if err != nil {
		return "", fmt.Errorf("find the drive of %s: %w", dir, err)
	}
	if windows.GetDriveType(volume) == windows.DRIVE_REMOTE {
		return "network drive", nil
	}
	return "", nil
}
