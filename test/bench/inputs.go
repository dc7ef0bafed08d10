package main

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// seeded returns incompressible bytes that are the same in every run.
func seeded(stream byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{stream}) }

// randomFile writes a file of incompressible bytes.
func randomFile(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, seeded(1), size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// perFolder is how many files manyFiles puts into one folder.
const perFolder = 1000

// manyFiles writes count files of size incompressible bytes each.
func manyFiles(dir string, count, size int) error {
	src, buf := seeded(2), make([]byte, size)
	for i := range count {
		folder := filepath.Join(dir, fmt.Sprintf("d%04d", i/perFolder))
		if i%perFolder == 0 {
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return err
			}
		}
		_, _ = src.Read(buf) // never fails
		if err := os.WriteFile(fileOf(dir, i), buf, 0o666); err != nil {
			return err
		}
	}
	return nil
}

func fileOf(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("d%04d", i/perFolder), fmt.Sprintf("f%03d", i%perFolder))
}

// copyTree copies what a folder holds, without the write protection that a
// module cache has, and without links.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o777)
		case e.Type().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(to, rel), text, 0o666)
		}
		return nil
	})
}

// edited writes a file of the same bytes as name, with one byte before all
// others and n scattered insertions of 1 to 100 bytes.
func edited(name, to string, round int, front bool, n int) error {
	src, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	rnd := seeded(byte(16 + round))
	if front {
		_, err = io.CopyN(out, rnd, 1)
	}
	for i := range n {
		if err == nil {
			_, err = io.CopyN(out, src, info.Size()/int64(n+1))
		}
		if err == nil {
			_, err = io.CopyN(out, rnd, int64(1+(i*37)%100))
		}
	}
	if err == nil {
		_, err = io.Copy(out, src)
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// warm reads every file below dir.
func warm(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		_, err = io.Copy(io.Discard, f)
		return err
	})
}

// sizeOf returns the sum of the sizes of the files below dir, 0 if there is no
// such folder.
func sizeOf(dir string) (sum int64, err error) {
	if _, err := os.Stat(dir); err != nil {
		return 0, nil
	}
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
