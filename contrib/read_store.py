#!/usr/bin/env python3
"""Get any version out of a dvx store, without dvx.

    read_store.py STORE                     list repos, branches and tags
    read_store.py STORE REPO@REF --log      list the versions that led to this one
    read_store.py STORE REPO@REF [PATH]     list the files of a version, or write one to standard output
    read_store.py STORE REPO@REF --out DIR  write all files below DIR, which must not exist

STORE is a store's folder, or a copy of its bucket (aws s3 cp --recursive s3://BUCKET/PREFIX STORE). REF is a branch, a tag
or a commit ID. --verify also checks each chunk's BLAKE3 hash: slow, some MiB a minute. Needs Python 3.8, and the program
zstd for chunks that are compressed. docs/formats/README.md explains what it does.
"""
import argparse, json, os, re, subprocess, sys
from struct import pack, unpack, unpack_from
DATA, LIST, NODE, COMMIT, LINK, DIR = 1, 2, 3, 4, 2, 3  # kinds of chunks; of entries (1 is a file)
CONTEXT = {DATA: b"chunk data", LIST: b"chunk list", NODE: b"directory node", COMMIT: b"commit"}  # of their IDs
IV = unpack(">8I", bytes.fromhex("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"))
LANES = [(i, 4 + (i + d) % 4, 8 + (i + 2 * d) % 4, 12 + (i + 3 * d) % 4) for d in (0, 1) for i in range(4)]
SHUFFLE = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)

def need(ok, what):
    ok or sys.exit("read_store: " + what)

def compress(key, m, counter, size, flags):  # the compression function of BLAKE3
    v = [*key, *IV[:4], counter & 0xffffffff, counter >> 32, size, flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(LANES):
            for word, right, left in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = v[a] + v[b] + word & 0xffffffff
                x = (v[d] ^ v[a]) << 32 - right
                v[d] = x >> 32 | x & 0xffffffff
                v[c] = v[c] + v[d] & 0xffffffff
                x = (v[b] ^ v[c]) << 32 - left
                v[b] = x >> 32 | x & 0xffffffff
        m = [m[i] for i in SHUFFLE]
    return [v[i] ^ v[i + 8] for i in range(8)]

def blake3(b, key, flags, chunk=0, root=8):  # the hash of b, whose first KiB has the number chunk
    if len(b) > 1024:
        half = 1 << (len(b) - 1).bit_length() - 1
        below = blake3(b[:half], key, flags, chunk, 0) + blake3(b[half:], key, flags, chunk + half // 1024, 0)
        return compress(key, below, 0, 64, flags | 4 | root)
    for at in range(0, max(len(b), 1), 64):
        ends = (1 if at == 0 else 0) | (2 | root if at + 64 >= len(b) else 0)
        key = compress(key, unpack("<16I", b[at:at + 64].ljust(64, b"\0")), chunk, len(b[at:at + 64]), flags | ends)
    return key

def cbor(b, at=0):  # returns one item of deterministic CBOR, and where it ends
    major, n, at = b[at] >> 5, b[at] & 31, at + 1
    if n >= 24 and major != 7:
        n, at = int.from_bytes(b[at:at + (1 << n - 24)], "big"), at + (1 << n - 24)
    if major in (2, 3):
        return (b[at:at + n] if major == 2 else b[at:at + n].decode()), at + n
    if major in (4, 5):
        items = [at]
        for _ in range(n * (major - 3)):
            items[-1:] = cbor(b, items[-1])
        at = items.pop()
        return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at
    need(major == 0 or major == 7 and n in (20, 21), "unknown CBOR item")
    return (n if major == 0 else n == 21), at

class Store:
    def __init__(self, place, verify):
        self.place, self.verify = place, verify
        config, self.root = json.loads(self.read("dvx.json")), json.loads(self.read("root"))
        new = [f for x in (config, self.root) for f in x.get("features", []) if not f.startswith("write:")]
        need((config["format"], self.root["format"], config["mode"], new) == (1, 1, "plain", []), "a later release wrote this store")
        self.segments = [memoryview(self.read(s["key"])) for s in self.root.get("segments", [])]
        need(all(s[:9] == b"dvx-indx\1" for s in self.segments), "an index of another version")
    def read(self, key, start=0, size=-1):
        with open(os.path.join(self.place, *key.split("/")), "rb") as f:
            f.seek(start)
            return f.read(size)
    def chunk(self, kind, ident):
        for s in self.segments:  # a fan-out over the first bits of the ID, then entries of 52 bytes
            bits, (packs, keys, _) = s[9], unpack_from(">III", s, 12)
            slot, table = int.from_bytes(ident[:4], "big") >> 32 - bits, 64 + 4 * (1 << bits)
            for i in range(unpack_from(">I", s, 60 + 4 * slot)[0] if slot else 0, unpack_from(">I", s, 64 + 4 * slot)[0]):
                found, k, encoding, _, offset, stored, plain, n = unpack_from(">32sBBHIIII", s, table + 48 * packs + keys + 52 * i)
                if (found, k) == (ident, kind):
                    start, length = unpack_from(">IH", s, table + 48 * n)
                    b = self.read(bytes(s[table + 48 * packs + start:][:length]).decode(), offset, stored)
                    if encoding == 1:
                        b = subprocess.run(["zstd", "-dcq"], input=b, stdout=subprocess.PIPE, check=True).stdout
                    key = blake3(b"dvx 2026-11 v1 " + CONTEXT[kind], IV, 32) if self.verify else None
                    need(len(b) == plain and not (key and pack("<8I", *blake3(b, key, 64)) != ident), "damaged chunk " + ident.hex())
                    return b
        sys.exit("read_store: chunk %s is not in the store" % ident.hex())
    def log(self, expression):  # yields the IDs and commits of a version and of those that led to it
        name, _, ref = expression.partition("@")
        repo = self.root["repos"].get(name) or need(False, "there is no repo " + name)
        named = {**repo.get("tags", {}), **repo.get("branches", {})}.get(ref or repo["default"], {"commit": ref})
        ident = named.get("commit", "")
        need(re.fullmatch("[0-9a-f]{64}", ident) and ident.strip("0"), "there is no version " + expression)
        while ident:
            commit = json.loads(self.chunk(COMMIT, bytes.fromhex(ident)))
            yield ident, commit
            ident = commit.get("parents", [None])[0]
    def entries(self, ident, above=""):  # yields path and entry of all files and links below a directory
        node, _ = cbor(self.chunk(NODE, ident))
        for e in node[3]:
            if node[2] > 0:
                yield from self.entries(e[6], above)
                continue
            need(e[1] not in ("", ".", "..") and not {"/", "\0"} & {*e[1]}, "bad name %r" % e[1])
            yield from self.entries(e[10], above + e[1] + "/") if e[2] == DIR else [(above + e[1], e)]
    def content(self, ident, depth):
        node = cbor(self.chunk(LIST, ident))[0] if depth else {}
        for part, _ in node.get(2) or need(not depth, "a file's bytes are in s3://%s/%s" % (node.get(3), node.get(4))) or ():
            yield from self.content(part, depth - 1)
        yield from [self.chunk(DATA, ident)] if ident and not depth else ()
    def write(self, e, out):
        need(sum(map(out.write, self.content(e.get(4), e.get(6, 0)))) == e.get(5, 0), "a file has not the size of its entry")
    def export(self, top, out):
        os.mkdir(out)
        for path, e in sorted(self.entries(top), key=lambda x: x[1][2] == LINK):  # links last: nothing is written through one
            target = out + "/" + path
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if e[2] == LINK:
                os.symlink(b"".join(self.content(e[4], e.get(6, 0))), target.encode())
            else:
                with open(target, "xb", opener=lambda p, how: os.open(p, how, 0o777 if e.get(3) else 0o666)) as f:
                    self.write(e, f)

def main(a):
    store = Store(a.store, a.verify)
    for name, repo in sorted(store.root["repos"].items()) if not a.ref else ():
        for ref, to in sorted({**repo.get("tags", {}), **repo.get("branches", {})}.items()):
            print("%s@%s %s" % (name, ref, to.get("commit", "empty")))
    for ident, commit in store.log(a.ref) if a.ref else ():
        top = bytes.fromhex(commit["tree"]["id"])
        if a.log:
            print(ident, commit["time"], commit.get("message", "").split("\n")[0])
        elif a.out:
            return store.export(top, a.out)
        elif a.path:
            found = next((e for path, e in store.entries(top) if path == a.path), None)
            return store.write(found or need(False, "there is no file " + a.path), sys.stdout.buffer)
        else:
            return sys.stdout.buffer.writelines(path.encode() + b"\n" for path, _ in store.entries(top))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
option, flag = {"nargs": "?"}, {"action": "store_true"}
for name, how in {"store": {}, "ref": option, "path": option, "--out": {}, "--log": flag, "--verify": flag}.items():
    parser.add_argument(name, **how)
try:
    main(parser.parse_args())
except (OSError, subprocess.CalledProcessError) as e:
    need(False, str(e))
