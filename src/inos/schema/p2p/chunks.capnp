@0x8f4a6c13de92b766;
# Chunks and objects between nodes. Chunk bytes travel in a frame's body, beside the envelope, never inside it.

struct ChunkRequest { address @0 :Data; }                         # chunk.get: body of the answer is the chunk

struct ChunkBatch { addresses @0 :List(Data); sizes @1 :List(UInt32); }   # chunk.put: body holds them end to end
struct AddressList { addresses @0 :List(Data); }                  # chunk.have and its answer: the ones present

struct HoldRequest {       # object.hold: become or stay a holder; body holds chunks end to end, manifest first
  placement @0 :Data;      # a table Record
  chunks    @1 :ChunkBatch;
  fetch     @2 :Bool;      # pull what is missing from the other members before answering
}
struct HoldBatch { requests @0 :List(HoldRequest); }
struct HoldState {
  cid      @0 :Data;
  held     @1 :UInt32;     # assigned pieces present, each verified when it came
  assigned @2 :UInt32;
  error    @3 :Text;       # code, empty when fine
  epoch    @4 :UInt64;     # logical time of the placement it was counted for
}
struct HoldAnswer { states @0 :List(HoldState); }
struct StateRequest { cids @0 :List(Data); verify @1 :Bool; }     # object.state: answered by HoldAnswer; verify re-reads
