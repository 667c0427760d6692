@0xf21d6a90b3c84e17;
# Messages: who an owner's hub is, and what its nodes ask of it.

struct HubRecord {         # value of table `hubs`; the key is the owner, who signs it
  version @0 :UInt16;      # 1
  node    @1 :Data;        # Ed25519 public key of the node that is the hub
  term    @2 :UInt64;      # from 1; each taking over is one more
  sinceMs @3 :UInt64;      # wall clock of the node, for people
}

struct HubAsk {            # what is asked; what it says further is JSON in the body, gzip or plain
  version @0 :UInt16;      # 1
  hub     @1 :Data;        # the Record of table `hubs` by which the asker takes the answerer for the hub
}

struct HubAnswer {
  version @0 :UInt16;      # 1
  moved   @1 :Data;        # the Record of the hub that the answerer knows, which is another; then nothing was done
}
