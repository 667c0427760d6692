@0xc6d3f1a1b7e04a11;
# What frames everything: one envelope for every call, answer and event, on every transport.

struct Metadata {
  version @0 :UInt32;      # of this struct; 1
  lamport @1 :UInt64;      # sender's logical time when it sent
  trace   @2 :Data;        # 16 bytes that tie the calls of one user action together; may be empty
}

struct Error {
  code      @0 :Text;      # stable, see inos.core.errors
  message   @1 :Text;
  hint      @2 :Text;
  retryable @3 :Bool;
  context   @4 :Text;      # what was being done
}

enum Kind {
  request  @0;
  response @1;
  failure  @2;             # payload is an Error
  event    @3;             # no answer expected
}

struct Envelope {
  version  @0 :UInt16;     # of the envelope; 1
  kind     @1 :Kind;
  id       @2 :UInt64;     # pairs an answer with its request on one stream
  method   @3 :Text;       # "chunk.get", "table.push"; empty in answers
  metadata @4 :Metadata;
  payload  @5 :Data;       # one message of the schema the method names
}
