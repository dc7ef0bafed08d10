package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"syscall"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// attemptsMax bounds how often a Put starts anew because a temporary file or a
// folder was removed under it.
const attemptsMax = 3

// errVanished: a temporary file or folder of a Put was removed by somebody.
var errVanished = errors.New("temporary file or folder was removed meanwhile")

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if err := objstore.CheckPut(key, body, c); err != nil {
		return objstore.Info{}, err
	}
	if err := checkKey(key); err != nil {
		return objstore.Info{}, err
	}
	for attempt := 1; ; attempt++ {
		info, err := s.put(ctx, key, body, c)
		if errors.Is(err, errVanished) && attempt < attemptsMax {
			continue
		}
		if err != nil {
			return objstore.Info{}, fmt.Errorf("put %s: %w", key, err)
		}
		return info, nil
	}
}

func (s *Store) put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	// A condition that already fails saves the writing; it is checked again.
	if err := s.check(ctx, key, c); err != nil {
		return objstore.Info{}, err
	}
	if err := s.folders.ensure(path.Dir(key)); err != nil {
		return objstore.Info{}, err
	}
	temp, info, err := s.writeTemp(ctx, body)
	if err != nil {
		return objstore.Info{}, err
	}
	info.Key = key
	if c.IfAbsent {
		err = s.publishNew(key, temp)
	} else {
		err = s.publishOver(ctx, key, temp, c)
	}
	return info, err
}

// check fails with ErrPrecondition if c does not hold now. An object that
// stands against IfAbsent is made durable first: its writer may have died
// before it could.
func (s *Store) check(ctx context.Context, key string, c objstore.Condition) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case c.IfAbsent:
		f, err := s.fs.OpenFile(key, os.O_RDONLY, 0)
		if err == nil {
			f.Close()
			return s.taken(key)
		}
	case c.IfVersion != "":
		info, err := s.Stat(ctx, key)
		if errors.Is(err, objstore.ErrNotFound) || err == nil && info.Version != c.IfVersion {
			return objstore.ErrPrecondition
		}
		return err
	}
	return nil
}

// taken is the answer to IfAbsent on a name that exists.
func (s *Store) taken(key string) error {
	f, err := s.fs.OpenFile(key, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) { // it was there a moment ago
		return fmt.Errorf("%w: %w", errVanished, err)
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	f.Close()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("the key is a folder of other keys: %w", fs.ErrInvalid)
	}
	// Its folder is durable: nothing is put in one that is not.
	if err := s.folders.sync(path.Dir(key)); err != nil {
		return err
	}
	return objstore.ErrPrecondition
}

// publishNew gives a synced temporary file its name, which must be free.
func (s *Store) publishNew(key, temp string) error {
	err := s.fs.Link(temp, key)
	s.discard(temp)
	switch {
	case errors.Is(err, fs.ErrExist):
		return s.taken(key)
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("name a new object (does this file system have hard links? a store needs them): %w", err)
	case err != nil:
		return s.publishError(key, err)
	}
	return s.syncName(key)
}

// publishOver gives a synced temporary file its name in place of the file that
// has it, under the lock and if c holds.
func (s *Store) publishOver(ctx context.Context, key, temp string, c objstore.Condition) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		s.discard(temp)
		return err
	}
	defer unlock()
	if err := s.check(ctx, key, c); err != nil {
		s.discard(temp)
		return err
	}
	if err := s.fs.Rename(temp, key); err != nil {
		s.discard(temp)
		return s.publishError(key, err)
	}
	return s.syncName(key)
}

// publishError maps an error of the call that gives a file its name.
func (s *Store) publishError(key string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.folders.forget()
		return fmt.Errorf("%w: %w", errVanished, err)
	case vfs.Busy(err):
		return fmt.Errorf("%w: %w", objstore.ErrThrottled, err)
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR), isDir(s.fs, key):
		return fmt.Errorf("the key is a folder of other keys: %w: %w", fs.ErrInvalid, err)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %w", objstore.ErrUnknownOutcome, err)
	}
	return err
}

// syncName makes the name of a new object durable. Until that is done it is
// visible but may be lost.
func (s *Store) syncName(key string) error {
	if err := s.folders.sync(path.Dir(key)); err != nil {
		return fmt.Errorf("%w: %w", objstore.ErrUnknownOutcome, err)
	}
	return nil
}

// writeTemp writes body to a new temporary file and syncs it. On an error
// nothing is left of it.
func (s *Store) writeTemp(ctx context.Context, body *io.SectionReader) (name string, info objstore.Info, err error) {
	name, f, err := s.createTemp()
	if err != nil {
		return "", objstore.Info{}, err
	}
	version, err := s.copyBody(ctx, f, body)
	if err == nil {
		err = f.Sync() // never again on this file if it fails
	}
	st, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Close()); err != nil {
		s.discard(name)
		return "", objstore.Info{}, fmt.Errorf("write a temporary file: %w", err)
	}
	return name, objstore.Info{Size: body.Size(), Version: version, ModTime: st.ModTime()}, nil
}

// discard removes a temporary file. If that fails, it is swept later.
func (s *Store) discard(name string) { _ = s.fs.Remove(name) }

// createTemp makes a new temporary file, locked so that no sweep takes it.
func (s *Store) createTemp() (string, vfs.File, error) {
	const triesMax = 100_000 // names that other processes, dead or alive, may have taken
	for range triesMax {
		name := tempName + "/" + s.tempBase + "-" + strconv.FormatUint(s.temps.Add(1), 36)
		f, err := s.fs.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, vfs.PermObject)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", nil, fmt.Errorf("make a temporary file: %w", err)
		}
		if _, err := f.Lock(false); err != nil {
			s.discard(name)
			return "", nil, errors.Join(err, f.Close())
		}
		return name, f, nil
	}
	return "", nil, fmt.Errorf("make a temporary file: no free name in %s; remove old files there: %w", tempName, fs.ErrExist)
}

// copyBody writes the whole body and returns its version, if it is small
// enough to have one.
func (s *Store) copyBody(ctx context.Context, f vfs.File, body *io.SectionReader) (objstore.Version, error) {
	size, off := body.Size(), int64(0)
	hash := blake3.New()
	err := s.bulk.Write(f, size, func(p []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n, err := body.ReadAt(p, off); n < len(p) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read the body at byte %d: %w", off+int64(n), err)
		}
		off += int64(len(p))
		if size <= objstore.MutableSizeMax {
			hash.Write(p)
		}
		return nil
	})
	if err != nil || size > objstore.MutableSizeMax {
		return "", err
	}
	return objstore.Version(fmt.Sprintf("%x", hash.Sum(nil))), nil
}

// Delete implements objstore.Store. It is durable when it returns.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := s.remove(ctx, key); err != nil && !isAbsent(err) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	// Also if it was absent: whoever removed it may have died before this step.
	if err := s.folders.sync(path.Dir(key)); err != nil && !isAbsent(err) {
		return fmt.Errorf("delete %s: %w: %w", key, objstore.ErrUnknownOutcome, err)
	}
	return nil
}

func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// remove removes an object's name under the lock: a conditional replacement of
// the same object must not bring it back.
func (s *Store) remove(ctx context.Context, key string) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if isDir(s.fs, key) {
		return fs.ErrNotExist
	}
	err = s.fs.Remove(key)
	if vfs.Busy(err) {
		return fmt.Errorf("%w: %w", objstore.ErrThrottled, err)
	}
	return err
}

// lock takes the folder's lock, waiting for it until ctx ends, and returns what
// releases it. A wait that was given up holds no more than one goroutine of
// this process, which lets go as soon as it gets the lock.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, err := s.fs.OpenFile(lockName, os.O_RDWR, 0)
	if err != nil {
		<-s.writing
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	release := func() {
		_ = f.Close()
		<-s.writing
	}
	taken, err := f.Lock(false)
	if err != nil {
		release()
		return nil, err
	}
	if taken {
		return release, nil
	}
	waited := make(chan error, 1)
	go func() {
		_, err := f.Lock(true)
		waited <- err
	}()
	select {
	case err := <-waited:
		if err != nil {
			release()
			return nil, err
		}
		return release, nil
	case <-ctx.Done():
		go func() {
			err := <-waited // whether it got the lock or failed, it lets go
			_ = err
			release()
		}()
		return nil, ctx.Err()
	}
}
