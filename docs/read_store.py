#!/usr/bin/env python3
"""Read one file of one version out of a dvx store, without dvx.

    python3 read_store.py STORE REPO@REF PATH > file
    python3 read_store.py STORE REPO@REF            (lists the files)

STORE is the folder of a store, or a copy of a bucket's objects. REF is a branch,
a tag, or the 64 digits of a commit ID. The script needs Python 3.8 and nothing
else, except for chunks that are compressed: these need Python 3.14, or the
program zstd on the PATH. It follows the FORMAT.md files of pkg/repo, pkg/commit,
pkg/tree, pkg/chunk and pkg/chunk/pack, and is there to show that they suffice.
It checks lengths and versions; it does not compare hashes, since Python has no
BLAKE3. To try one, feed a chunk to "b3sum --derive-key CONTEXT".
"""
import json, os, re, subprocess, sys
from struct import unpack_from

NODE, LIST, DATA, COMMIT = 3, 2, 1, 4  # kinds of chunks
DIR = 3  # kind of an entry; 1 is a file, 2 a symbolic link


def need(ok, what):
    if not ok:
        sys.exit("read_store: " + what)


def read(store, key):
    try:
        with open(os.path.join(store, *key.split("/")), "rb") as f:
            return f.read()
    except OSError as e:
        sys.exit("read_store: object %s: %s" % (key, e.strerror))


def cbor(b, at=0):
    """Decodes one item of deterministic CBOR; returns it and where it ends."""
    major, n, at = b[at] >> 5, b[at] & 31, at + 1
    if n >= 24 and major != 7:
        size = 1 << (n - 24)
        n, at = int.from_bytes(b[at:at + size], "big"), at + size
    if major == 0:
        return n, at
    if major in (2, 3):
        return (b[at:at + n] if major == 2 else b[at:at + n].decode()), at + n
    if major in (4, 5):
        items = []
        for _ in range(n * (major - 3)):
            item, at = cbor(b, at)
            items.append(item)
        return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at
    need(major == 7 and n in (20, 21), "unknown CBOR item")
    return n == 21, at


def unzstd(b):
    try:
        from compression.zstd import decompress  # Python 3.14
        return decompress(b)
    except ImportError:
        pass
    try:
        return subprocess.run(["zstd", "-dcq"], input=b, stdout=subprocess.PIPE, check=True).stdout
    except FileNotFoundError:
        sys.exit("read_store: this chunk is compressed: put the program zstd on the PATH, or use Python 3.14")
    except subprocess.CalledProcessError:
        sys.exit("read_store: a compressed chunk is damaged")


class Store:
    def __init__(self, path):
        self.path, self.places = path, {}
        config, self.root = (json.loads(read(path, name)) for name in ("dvx.json", "root"))
        features = [f for x in (config, self.root) for f in x.get("features", []) if not f.startswith("write:")]
        need(config["format"] == self.root["format"] == 1 and config["mode"] == "plain" and not features,
             "a later release wrote this store: %s" % features)
        for segment in self.root.get("segments", []):
            self.index(read(path, segment["key"]))

    def index(self, b):
        """Takes in an index segment: where each chunk is."""
        need(b[:8] == b"dvx-indx" and b[8] == 1, "not an index segment of version 1")
        packs, keys, entries = unpack_from(">III", b, 12)
        table = 64 + 4 * (1 << b[9])
        names = table + 48 * packs
        for i in range(entries):
            at = names + keys + 52 * i
            ident, kind, encoding, _, offset, stored, plain, pack = unpack_from(">32sBBHIIII", b, at)
            start, length = unpack_from(">IH", b, table + 48 * pack)
            key = b[names + start:names + start + length].decode()
            self.places[kind, ident] = (key, encoding, offset, stored, plain)

    def chunk(self, kind, ident):
        need((kind, ident) in self.places, "chunk %s is not in the store" % ident.hex())
        key, encoding, offset, stored, plain = self.places[kind, ident]
        with open(os.path.join(self.path, *key.split("/")), "rb") as f:
            f.seek(offset)
            b = f.read(stored)
        if encoding == 1:
            b = unzstd(b)
        need(encoding in (0, 1) and len(b) == plain, "chunk %s is damaged" % ident.hex())
        return b

    def tree(self, ref):
        """Returns the ID of the root node of a version's directory."""
        name, _, ref = ref.partition("@")
        need(name in self.root["repos"], "there is no repo " + name)
        repo = self.root["repos"][name]
        ref = ref or repo["default"]
        named = repo.get("branches", {}).get(ref) or repo.get("tags", {}).get(ref)
        commit = bytes.fromhex(named["commit"] if named else ref if re.fullmatch("[0-9a-f]{64}", ref) else "")
        need(any(commit), "%s has no version %s" % (name, ref))
        return bytes.fromhex(json.loads(self.chunk(COMMIT, commit))["tree"]["id"])

    def entries(self, node, key=None):
        """Yields a directory's entries: all, or those of the one node per level that can hold key."""
        node, _ = cbor(self.chunk(NODE, node))
        need(node[1] == 1, "a node of another version")
        for item in node[3]:
            if node[2] == 0:
                yield item
            elif key is None or key <= item[1].encode():  # the last key below
                yield from self.entries(item[6], key)
                if key is not None:
                    return

    def find(self, node, path):
        """Returns the entry of a file or link, or None."""
        name, _, rest = path.partition("/")
        for e in self.entries(node, (name + "/" if rest else name).encode()):
            if e[1] == name and (e[2] == DIR) == bool(rest):
                return self.find(e[10], rest) if rest else e

    def content(self, ident, depth):
        """Yields the bytes of a content."""
        if depth == 0:
            yield self.chunk(DATA, ident)
            return
        for part, _ in cbor(self.chunk(LIST, ident))[0][2]:
            yield from self.content(part, depth - 1)

    def names(self, node, above=""):
        for e in self.entries(node):
            if e[2] == DIR:
                yield from self.names(e[10], above + e[1] + "/")
            else:
                yield above + e[1]


def main(args):
    need(len(args) in (2, 3), "give STORE REPO@REF, and PATH for the bytes of a file")
    store = Store(args[0])
    top = store.tree(args[1])
    if len(args) == 2:
        for name in store.names(top):
            sys.stdout.buffer.write(name.encode() + b"\n")
        return
    e, size = store.find(top, args[2].strip("/")), 0
    need(e, "there is no file " + args[2])
    for part in store.content(e[4], e.get(6, 0)) if 4 in e else ():
        size += len(part)
        sys.stdout.buffer.write(part)
    need(size == e.get(5, 0), "the file has another size than its entry says")


if __name__ == "__main__":
    main(sys.argv[1:])
