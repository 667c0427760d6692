@0xb87e55d2c1f04c44;
# What travels on topics. Tables use `records`; the others are laid down for the features they name (models, ledger, live
# peers and objects), so that every node of this version can at least tell what it is passing on. Never one message per chunk: objects and members only, batched, under 60 KB.

struct GossipMessage {
  version @0 :UInt16;
  sender  @1 :Data;        # node public key
  union {
    records         @2 :List(Data);             # table Records
    peers           @3 :Data;                   # PeerList
    chunks          @4 :ChunkAdvertisement;
    models          @5 :ModelAdvertisement;
    ledger          @6 :LedgerSync;
  }
}

struct ChunkAdvertisement { cid @0 :Data; chunks @1 :UInt32; bytes @2 :UInt64; }
struct ModelAdvertisement { cid @0 :Data; name @1 :Text; version @2 :Text; }
struct LedgerSync { root @0 :Data; lamport @1 :UInt64; transactions @2 :List(Data); }
