package tree

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// PortableSizeMax is the longest name, in bytes, that every usual file system
// can hold.
const PortableSizeMax = 255

// CheckPortable fails with fs.ErrInvalid unless name is a valid name that no
// usual file system takes for something else. It refuses names of more than
// 255 bytes, control and bidi characters, backslash and colon, a dot or space
// at the end, device names, and every spelling of ".dvx" that some file system
// takes for it.
func CheckPortable(name string) error {
	if plainName(name) {
		return nil
	}
	if err := CheckName(name); err != nil {
		return err
	}
	switch reason := unportable(name); reason {
	case "":
		return nil
	default:
		return fmt.Errorf("name %.80q %s: %w", name, reason, fs.ErrInvalid)
	}
}

// plainName reports whether name is surely portable: most names are, and this
// takes a tenth of the time that the rules take.
func plainName(name string) bool {
	if name == "" || len(name) > PortableSizeMax || name[0] == '.' || name[len(name)-1] == '.' {
		return false
	}
	stem := len(name) // length up to the first dot
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c == '_', c == '-':
		case c == '.':
			stem = min(stem, i)
		default:
			return false
		}
	}
	if stem != 3 && stem != 4 {
		return true
	}
	switch name[0] | 0x20 { // CON, COM1, LPT1, …
	case 'a', 'c', 'l', 'n', 'p':
		return false
	}
	return true
}

func unportable(name string) string {
	if len(name) > PortableSizeMax {
		return fmt.Sprintf("is longer than %d bytes, more than a disk holds", PortableSizeMax)
	}
	for _, r := range name {
		switch {
		case unicode.IsControl(r):
			return fmt.Sprintf("holds the control character %U", r)
		case isBidi(r):
			return fmt.Sprintf("holds the bidirectional control %U", r)
		}
	}
	if isReserved(name) {
		return "can be taken for .dvx"
	}
	if i := strings.IndexAny(name, `\:`); i >= 0 {
		return fmt.Sprintf("holds %q, which has a meaning in Windows paths", name[i])
	}
	if end := name[len(name)-1]; end == '.' || end == ' ' {
		return fmt.Sprintf("ends in %q, which Windows drops", end)
	}
	if isDevice(name) {
		return "is a device on Windows"
	}
	return ""
}

// isBidi reports whether r changes the direction in which text is shown.
func isBidi(r rune) bool {
	return r == 0x061C || r == 0x200E || r == 0x200F ||
		(r >= 0x202A && r <= 0x202E) || (r >= 0x2066 && r <= 0x2069)
}

// isIgnorable reports whether HFS+ leaves r out when it compares names.
func isIgnorable(r rune) bool {
	return (r >= 0x200C && r <= 0x200F) || (r >= 0x202A && r <= 0x202E) ||
		(r >= 0x206A && r <= 0x206F) || r == 0xFEFF
}

// isReserved reports whether a file system can take name for ".dvx" or its
// short form, as in ".DVX", ".dvx.", ".dvx::$INDEX_ALLOCATION" and "dvx~1".
func isReserved(name string) bool {
	name = strings.Map(func(r rune) rune {
		if isIgnorable(r) {
			return -1
		}
		return r
	}, name)
	name, _, _ = strings.Cut(name, ":")
	name = FoldKey(strings.TrimRight(name, " ."))
	if name == ".dvx" {
		return true
	}
	short, ok := strings.CutPrefix(name, "dvx~")
	return ok && short != "" && strings.Trim(short, "0123456789") == ""
}

// isDevice reports whether Windows takes name, up to its first dot or colon,
// for a device.
func isDevice(name string) bool {
	if i := strings.IndexAny(name, ".:"); i >= 0 {
		name = name[:i]
	}
	name = strings.ToUpper(strings.TrimRight(name, " "))
	switch name {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	for _, port := range []string{"COM", "LPT"} {
		if n, ok := strings.CutPrefix(name, port); ok {
			switch n {
			case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
				return true
			}
		}
	}
	return false
}

// FoldKey returns what names have in common that a file system which ignores
// case and Unicode normalisation takes for one: their case folding in NFC. Two names of one directory with equal FoldKeys can't both be
// checked out there.
func FoldKey(name string) string {
	ascii := true
	for i := range len(name) {
		if name[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(name)
	}
	// Full folding leaves letters apart that some file systems hold equal, such
	// as the two cases of Cherokee; lower case of upper case does not.
	folded := strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) },
		cases.Fold().String(norm.NFD.String(name)))
	return norm.NFC.String(folded)
}
