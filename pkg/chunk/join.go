package chunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// JoinContents returns the Content of the parts' bytes one after another: the
// same that [WriteContent] makes of these bytes with p, which the parts must
// have been cut with. It reads the parts' lists and, through r, the chunks
// around each seam: from the last chunk of a part until the cuts of the whole
// meet those of the part that follows. What it makes anew goes into s.
func JoinContents(ctx context.Context, r Reader, s Store, p Params, parts []Content) (Content, error) {
	j := &joiner{r: r, s: s, list: listBuilder{store: s}}
	for _, c := range parts {
		if err := CheckContent(c); err != nil {
			return Content{}, err
		}
		j.size += c.Size
	}
	next, stop := iter.Pull2(j.chunks(ctx, parts))
	defer stop()
	j.next = next
	for {
		c, err := j.take()
		if errors.Is(err, io.EOF) {
			return j.list.finish(ctx)
		}
		if err == nil && c.seam {
			err = j.cross(ctx, p, c)
		} else if err == nil {
			err = j.list.add(ctx, c.listEntry)
		}
		if err != nil {
			return Content{}, fmt.Errorf("join %d parts: %w", len(parts), err)
		}
	}
}

// joiner walks over the chunks of all parts.
type joiner struct {
	r    Reader
	s    Store
	list listBuilder
	size int64 // of all parts
	next func() (partChunk, error, bool)
	back []partChunk // taken and given back, in order
}

// partChunk is a chunk of a part.
type partChunk struct {
	listEntry
	start int64 // in the whole
	seam  bool  // ends where its part ends, and another follows: not where the whole is cut
}

// chunks yields the chunks of all parts.
func (j *joiner) chunks(ctx context.Context, parts []Content) iter.Seq2[partChunk, error] {
	return func(yield func(partChunk, error) bool) {
		var at int64
		for _, p := range parts {
			end := at + p.Size
			more := leaves(ctx, j.r, listEntry{ID: p.ID, Size: p.Size}, p.Depth, func(e listEntry) bool {
				c := partChunk{listEntry: e, start: at}
				at += e.Size
				c.seam = at == end && end < j.size
				return yield(c, nil)
			})
			if more != nil {
				if !errors.Is(more, errStop) {
					yield(partChunk{}, more)
				}
				return
			}
		}
	}
}

// errStop ends a walk that nobody needs more of.
var errStop = errors.New("stop")

// leaves calls f with the Data chunks below an entry of a list.
func leaves(ctx context.Context, r Reader, e listEntry, level uint8, f func(listEntry) bool) error {
	if e.Size == 0 {
		return nil
	}
	if level == 0 {
		if !f(e) {
			return errStop
		}
		return nil
	}
	b, err := r.Get(ctx, List, e.ID)
	if err != nil {
		return err
	}
	n, err := decodeList(b)
	if err != nil {
		return err
	}
	if n.Level != level || n.total() != e.Size {
		return fmt.Errorf("list %v is not the one that was named: %w", e.ID, ErrCorrupt)
	}
	for _, child := range n.Entries {
		if err := leaves(ctx, r, child, level-1, f); err != nil {
			return err
		}
	}
	return nil
}

// take returns the next chunk, io.EOF behind the last.
func (j *joiner) take() (partChunk, error) {
	if len(j.back) > 0 {
		c := j.back[0]
		j.back = j.back[1:]
		return c, nil
	}
	c, err, ok := j.next()
	if !ok {
		return partChunk{}, io.EOF
	}
	return c, err
}

// cross cuts the whole from the chunk c on, up to a place where a part is cut
// as well: from there on the two are cut alike.
func (j *joiner) cross(ctx context.Context, p Params, c partChunk) error {
	from := &seamReader{ctx: ctx, j: j}
	if err := from.read(c); err != nil {
		return err
	}
	split, err := p.New(from)
	if err != nil {
		return err
	}
	buf := make([]byte, 0, p.MaxSize)
	for at := c.start; at < j.size; {
		chunk, err := split.Next(buf)
		if err != nil {
			return err
		}
		id, err := j.s.Put(ctx, Data, chunk)
		if err != nil {
			return err
		}
		if err := j.list.add(ctx, listEntry{ID: id, Size: int64(len(chunk))}); err != nil {
			return err
		}
		at += int64(len(chunk))
		for len(from.taken) > 0 && from.taken[0].start < at {
			from.taken = from.taken[1:]
		}
		if len(from.taken) > 0 && from.taken[0].start == at || len(from.taken) == 0 && from.end == at {
			j.back = append(from.taken, j.back...)
			return nil
		}
	}
	return nil
}

// seamReader reads chunks one after another and remembers which.
type seamReader struct {
	ctx   context.Context //nolint:containedctx // io.Reader has no place for it
	j     *joiner
	taken []partChunk
	end   int64 // of the last chunk taken
	left  []byte
}

func (s *seamReader) read(c partChunk) error {
	b, err := s.j.r.Get(s.ctx, Data, c.ID)
	if err != nil {
		return err
	}
	if int64(len(b)) != c.Size {
		return fmt.Errorf("chunk %v has %d bytes, its list says %d: %w", c.ID, len(b), c.Size, ErrCorrupt)
	}
	s.taken, s.end, s.left = append(s.taken, c), c.start+c.Size, b
	return nil
}

// Read implements io.Reader.
func (s *seamReader) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		c, err := s.j.take()
		if err != nil {
			return 0, err
		}
		if err := s.read(c); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}
