@0xa9b2d94e3c5f7a22;
# Replicated tables: signed records and the calls that keep replicas equal.

struct RecordBody {        # what is signed, byte for byte
  version @0 :UInt16;      # 1
  table   @1 :Text;
  key     @2 :Data;
  value   @3 :Data;        # one message of the table's own schema; empty when removed
  removed @4 :Bool;        # a tombstone
  lamport @5 :UInt64;
  author  @6 :Data;        # 32-byte Ed25519 public key of the node or owner that signed
}

struct Record {
  version   @0 :UInt16;    # 1
  body      @1 :Data;      # a RecordBody
  signature @2 :Data;      # Ed25519 over "inos record v1\0" + body
}

struct RecordBatch {
  records @0 :List(Data);  # each a Record
  behind  @1 :Bool;        # in answers: the sender has not compared this sector with another replica lately
  more    @2 :Bool;        # in answers: cut to fit one message; ask again after the last key
}

struct PushAnswer {
  applied @0 :UInt32;      # changed the replica
  refused @1 :List(Refusal);
}
struct Refusal { index @0 :UInt32; code @1 :Text; }

struct SectorDigest { table @0 :Text; sector @1 :UInt16; root @2 :Data; }
struct DigestList { digests @0 :List(SectorDigest); }

struct BucketRequest { table @0 :Text; sector @1 :UInt16; }
struct BucketAnswer { buckets @0 :List(Data); }        # 256 digests

struct EntryRequest { table @0 :Text; sector @1 :UInt16; buckets @2 :List(UInt16); }
struct Entry { key @0 :Data; digest @1 :Data; }        # digest of the encoded Record
struct EntryAnswer { entries @0 :List(Entry); }

struct FetchRequest { table @0 :Text; keys @1 :List(Data); }   # answered by a RecordBatch
struct ScanRequest { table @0 :Text; prefix @1 :Data; after @2 :Data; limit @3 :UInt32; }   # answered by a RecordBatch
