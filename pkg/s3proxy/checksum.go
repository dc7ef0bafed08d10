package s3proxy

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/minio/crc64nvme"
)

// Algorithm is the name of a checksum algorithm, as S3 writes it in XML.
type Algorithm string

// The checksum algorithms that clients send.
const (
	CRC32     Algorithm = "CRC32"
	CRC32C    Algorithm = "CRC32C"
	CRC64NVME Algorithm = "CRC64NVME"
	SHA1      Algorithm = "SHA1"
	SHA256    Algorithm = "SHA256"
)

// Checksum is a checksum of an object or a part.
type Checksum struct {
	// Algorithm is "" if there is no checksum.
	Algorithm Algorithm
	// Composite tells that Value is the checksum of the parts' checksums and
	// not of the content.
	Composite bool
	// Value is the checksum in base64, of an object's composite one with "-N"
	// for N parts.
	Value string
}

// kind is S3's word for what a checksum covers.
func (c Checksum) kind() string {
	if c.Composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// algorithm is what there is to know of a checksum algorithm.
type algorithm struct {
	name Algorithm
	size int // bytes
	new  func() hash.Hash
	// poly is the reversed polynomial of a CRC; 0 for others, whose checksums
	// cannot be joined.
	poly uint64
	// compositeByDefault is S3's choice for uploads that do not say.
	compositeByDefault bool
}

// castagnoli is computed by the package once and shared.
func newCRC32C() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// algorithms are in the order in which S3's documentation lists them.
var algorithms = []algorithm{
	{CRC32, 4, func() hash.Hash { return crc32.NewIEEE() }, crc32.IEEE, true},
	{CRC32C, 4, newCRC32C, crc32.Castagnoli, true},
	{CRC64NVME, 8, func() hash.Hash { return crc64nvme.New() }, crc64nvme.NVME, false},
	{SHA1, sha1.Size, sha1.New, 0, true},
	{SHA256, sha256.Size, sha256.New, 0, true},
}

// findAlgorithm returns the algorithm of a name in any case.
func findAlgorithm(name string) (algorithm, bool) {
	i := slices.IndexFunc(algorithms, func(a algorithm) bool { return strings.EqualFold(string(a.name), name) })
	if i < 0 {
		return algorithm{}, false
	}
	return algorithms[i], true
}

// header is the name of the header and trailer that hold a checksum.
func (a algorithm) header() string { return "x-amz-checksum-" + strings.ToLower(string(a.name)) }

// element is the name of the XML element that holds a checksum.
func (a Algorithm) element() string { return "Checksum" + string(a) }

// valid tells whether v is the base64 of a checksum of a's size.
func (a algorithm) valid(v string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(v)
	return err == nil && len(b) == a.size && !strings.ContainsAny(v, "\r\n")
}

// composite returns the checksum over the checksums of parts, which all have
// one of this algorithm.
func (a algorithm) composite(parts []Part) (string, error) {
	h := a.new()
	for _, p := range parts {
		b, err := base64.StdEncoding.DecodeString(p.Checksum.Value)
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// join returns the checksum of the parts' content from those of the parts.
func (a algorithm) join(parts []Part) (string, error) {
	var sum uint64
	for _, p := range parts {
		b, err := base64.StdEncoding.DecodeString(p.Checksum.Value)
		if err != nil {
			return "", err
		}
		var v uint64
		for _, c := range b {
			v = v<<8 | uint64(c)
		}
		sum = a.shift(sum, p.Size) ^ v
	}
	out := make([]byte, a.size)
	for i := range out {
		out[i] = byte(sum >> (8 * (a.size - 1 - i)))
	}
	return base64.StdEncoding.EncodeToString(out), nil
}

// shift returns what the CRC sum is after n more zero bytes, if neither
// initial nor final inversion counts: sum times x^8n modulo the polynomial.
func (a algorithm) shift(sum uint64, n int64) uint64 {
	bits := uint(a.size * 8)
	power := uint64(1) << (bits - 9) // x^8
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			sum = a.multiply(sum, power, bits)
		}
		power = a.multiply(power, power, bits)
	}
	return sum
}

// multiply multiplies two polynomials modulo a's, all with reversed bits.
func (a algorithm) multiply(x, y uint64, bits uint) uint64 {
	var product uint64
	for i := int(bits) - 1; i >= 0; i-- {
		if x>>uint(i)&1 == 1 {
			product ^= y
		}
		if y&1 == 1 {
			y = y>>1 ^ a.poly
		} else {
			y >>= 1
		}
	}
	return product
}
