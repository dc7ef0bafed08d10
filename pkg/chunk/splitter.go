package chunk

// Params says where a store cuts streams. They are recorded in dvx.json when
// the store is made and never change.
type Params struct {
	Algorithm  string `json:"algorithm"`  // "rabin": restic/chunker
	Polynomial string `json:"polynomial"` // lower-case hex, irreducible, public
	MinSize    int    `json:"minSize"`    // bytes
	Bits       int    `json:"bits"`       // a boundary is where this many low bits of the fingerprint are 0; the mean chunk is about MinSize + 2^Bits
	MaxSize    int    `json:"maxSize"`    // bytes, at most SizeMax
}
