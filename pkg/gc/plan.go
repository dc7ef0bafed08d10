package gc

import (
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/repo"
)

// entryOverhead is what a chunk takes in a pack besides its bytes.
const entryOverhead = 48

// smallPack is the size in bytes below which packs are joined if there are
// more than smallPacksMax of a class: each costs a request, and an entry in
// every listing.
const (
	smallPack     = 2 << 20
	smallPacksMax = 64
)

// use says how much of a pack is live.
type use struct {
	chunks, live       int
	storedBytes, liveB int64
	session            uint64 // generation at which its session began
	kept, small        bool
}

// plan says which packs leave the index; what is live in them is copied first.
type plan struct {
	gone []bool // by pack number
	use  []use

	dead, repacked int   // packs without and with live chunks among the gone
	goneBytes      int64 // of the gone packs' objects
	copyBytes      int64 // of what must be copied
	liveChunks     int64
	totalChunks    int64
	totalBytes     int64 // of all packs' objects
}

// planOf counts the live entries of every pack and decides. Packs from number
// known on, and those of sessions that began at the floor or later, stay.
func planOf(inv *pack.Inventory, live bitmap, floor uint64, known int, o *Options) (*plan, error) {
	p := &plan{gone: make([]bool, len(inv.Packs)), use: make([]use, len(inv.Packs))}
	err := inv.Each(0, func(at, n int, e *pack.Entry) error {
		u := &p.use[n]
		u.chunks++
		u.storedBytes += int64(e.Stored) + entryOverhead
		if live.has(at) {
			u.live++
			u.liveB += int64(e.Stored) + entryOverhead
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var small [2]int // by class
	for n := range p.use {
		u, info := &p.use[n], &inv.Packs[n]
		if u.chunks == 0 {
			continue // of an earlier inventory
		}
		p.totalBytes += info.Size
		p.totalChunks += int64(u.chunks)
		p.liveChunks += int64(u.live)
		if _, u.session, err = pack.ParseKey(info.Key); err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		u.kept = n >= known || u.session >= floor && !o.rules.dropAnyPack
		if u.small = !u.kept && info.Size < smallPack; u.small {
			small[class(info)]++
		}
	}
	for n := range p.use {
		p.decide(n, &inv.Packs[n], small[class(&inv.Packs[n])] > smallPacksMax, o)
	}
	return p, nil
}

func class(info *pack.PackInfo) int {
	if info.Meta {
		return 1
	}
	return 0
}

// decide says whether pack n goes.
func (p *plan) decide(n int, info *pack.PackInfo, join bool, o *Options) {
	u := &p.use[n]
	if u.chunks == 0 || u.kept || p.full() {
		return
	}
	goes := u.live == 0 || join && u.small
	if info.Meta {
		// Dead metadata may point to what goes: none of it stays in the index.
		goes = goes || u.live < u.chunks && !o.rules.openIndex
	} else {
		goes = goes || float64(u.liveB) < o.RepackBelow*float64(u.storedBytes) || u.session < o.scrub && u.live < u.chunks
	}
	if !goes {
		return
	}
	p.gone[n] = true
	p.goneBytes += info.Size
	if u.live == 0 {
		p.dead++
		return
	}
	p.repacked++
	p.copyBytes += u.liveB
}

// full reports whether no more packs can go: the list names index segments too.
func (p *plan) full() bool { return p.dead+p.repacked >= listEntriesMax-2*repo.SegmentsMax }

// freed returns the bytes by which the store shrinks when the gone packs are
// deleted.
func (p *plan) freed() int64 { return max(0, p.goneBytes-p.copyBytes) }
