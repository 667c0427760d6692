@0xe3902fd7b86a1c55;
# Objects: the manifest a holder may read, the part only a reference opens, and where the pieces lie.

struct Scheme {
  dataShards   @0 :UInt16; # k; 1 means copies
  parityShards @1 :UInt16; # m; extra copies when k is 1
}

struct Page {              # a run of whole stripes; outer part, for holders
  version     @0 :UInt16;  # 1
  addresses   @1 :Data;    # 32 bytes a data chunk, in order
  sizes       @2 :List(UInt32);   # stored (sealed) bytes of each data chunk
  parity      @3 :Data;    # 32 bytes a parity shard: m for each stripe, in order; empty for copies
  paritySizes @4 :List(UInt32);   # stored bytes of a stripe's parity shards, one number a stripe
  inner       @5 :Data;    # sealed PageInner
}

struct PageInner {         # for the owner and whoever holds the reference
  version    @0 :UInt16;   # 1
  keys       @1 :Data;     # 32 bytes a data chunk
  plainSizes @2 :List(UInt32);
}

struct Manifest {          # its BLAKE3 is the object's cid
  version    @0 :UInt16;   # 1
  scheme     @1 :Scheme;
  chunks     @2 :UInt64;   # data chunks in all
  storedSize @3 :UInt64;   # sealed bytes of all data chunks
  merkleRoot @4 :Data;     # over the data chunk addresses
  page       @5 :Data;     # the only page of a small object, in place
  pages      @6 :Data;     # 32 bytes a page otherwise: addresses of Page chunks
  pageChunks @7 :UInt32;   # data chunks in every page but the last
  inner      @8 :Data;     # sealed ManifestInner
  inline     @9 :Data;     # sealed content itself, for objects of at most 64 KiB; then there are no chunks
}

struct ManifestInner {
  version   @0 :UInt16;    # 2; in 1 contentHash is a BLAKE3
  size      @1 :UInt64;    # plaintext bytes
  name      @2 :Text;
  contentHash @3 :Data;    # SHA-256 of the whole plaintext
  chunkSize @4 :UInt32;    # plaintext bytes of every chunk but the last
}

struct Placement {         # value of the placement table; its key is the cid
  version @0 :UInt16;      # 1
  owner   @1 :Data;        # Ed25519 public key: only its signature removes the object
  scheme  @2 :Scheme;
  copies  @3 :UInt16;      # copies of each data chunk when dataShards is 1; of manifest and pages always
  members @4 :List(Data);  # node public keys, in order of joining the object
  size    @5 :UInt64;      # stored bytes of one full set of data chunks
  grant   @6 :Data;        # Ed25519 by owner over "inos placement v1\0" + cid + generation (8 bytes, big-endian)
}                          #   + dataShards, parityShards, copies (2 bytes each): what repair may not change

struct CatalogueEntry {    # plaintext of a sealed catalogue value
  version    @0 :UInt16;   # 2; 1 has no sha256
  name       @1 :Text;     # "/photos/a.jpg"
  kind       @2 :EntryKind;
  reference  @3 :Text;
  size       @4 :UInt64;
  mode       @5 :UInt16;   # permission bits
  modifiedMs @6 :Int64;
  target     @7 :Text;     # of a symbolic link
  sha256     @8 :Data;     # SHA-256 of a file's whole content; empty where nobody computed it
}
enum EntryKind { file @0; folder @1; link @2; }

struct SealedEntry { version @0 :UInt16; sealed @1 :Data; }    # value of the catalogue table
