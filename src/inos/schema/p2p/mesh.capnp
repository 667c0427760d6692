@0xd41c7be09a6f5833;
# Membership: who is in a mesh, and how one gets in.

struct Genesis {           # founds a mesh; its BLAKE3 is the mesh id
  version @0 :UInt16;      # 1
  founder @1 :Data;        # Ed25519 public key of the founding owner
  nonce   @2 :Data;        # 16 bytes
}

struct CertificateBody {
  version   @0 :UInt16;    # 1
  mesh      @1 :Data;
  node      @2 :Data;      # Ed25519 public key of the member node
  owner     @3 :Data;      # Ed25519 public key of its owner
  issuedMs  @4 :UInt64;    # wall clock of the issuer, for people; never decides validity
  issuer    @5 :Data;      # the founder's key, or the node key of a member that may invite
  mayInvite @6 :Bool;
  serial    @7 :Data;      # 16 bytes
}

struct Certificate {
  version   @0 :UInt16;    # 1
  body      @1 :Data;      # CertificateBody
  signature @2 :Data;      # Ed25519 by issuer over "inos certificate v1\0" + body
  chain     @3 :List(Data);# the issuer's own Certificate and so on up to the founder; at most 4, each without a chain
}

struct InvitationBody {
  version   @0 :UInt16;    # 1
  mesh      @1 :Data;
  id        @2 :Data;      # 16 bytes
  expiresMs @3 :UInt64;
  singleUse @4 :Bool;
  issuer    @5 :Data;      # node key of the inviting member
  secret    @6 :Data;      # 16 bytes: BLAKE3 of what the ticket holds, so the invitation may be stored by members
  mayInvite @7 :Bool;      # whether those who join by it may invite others
}

struct Invitation { version @0 :UInt16; body @1 :Data; signature @2 :Data; }   # by issuer, "inos invitation v1\0" + body

struct Ticket {            # what 'inos invite' prints, base32 with a checksum
  version    @0 :UInt16;   # 1
  genesis    @1 :Data;
  invitation @2 :Data;
  secret     @3 :Data;     # 16 bytes
  addresses  @4 :List(Text);   # multiaddrs with /p2p/ of members to ask, the inviting one first
}

struct JoinRequest {
  version    @0 :UInt16;
  invitation @1 :Data;
  secret     @2 :Data;
  node       @3 :Data;     # must be the key of the connection's peer id
  owner      @4 :Data;
  ownerProof @5 :Data;     # Ed25519 by owner over "inos join v1\0" + mesh + node
}
struct JoinAnswer { certificate @0 :Data; members @1 :List(Data); }    # members: table records of the membership table

struct Hello {             # both sides show their certificate before anything else is served
  version     @0 :UInt16;
  certificate @1 :Data;
  addresses   @2 :List(Text);
}

struct PeerCapability {
  version      @0 :UInt16; # 1
  certificate  @1 :Data;
  addresses    @2 :List(Text);
  region       @3 :Text;
  profile      @4 :Text;
  storageBytes @5 :UInt64; # what this node offers
  usedBytes    @6 :UInt64;
  cores        @7 :UInt16;
  memoryBytes  @8 :UInt64;
  nodeName     @9 :Text;
}

struct Beat {              # heartbeat
  version @0 :UInt16;
  load    @1 :Float32;     # 0..1
  roots   @2 :Data;        # BLAKE3 over the sender's table digests; differing roots start an exchange at once
  everything @3 :Data;     # BLAKE3 over the roots of all its tables' sectors; where it is the receiver's, nothing differs
}

struct Revocation {        # value in table "revocations"; the key is the revoked node's public key
  version   @0 :UInt16;    # 1
  reason    @1 :Text;
  revokedMs @2 :UInt64;    # wall clock of the author, for people
  keeps     @3 :List(Data);# node keys certified by the revoked node that stay members; counts only when the founder signs
  member    @4 :Data;      # the node's own record of table "members": proves its owner; may be empty when the founder signs
}

struct Sightings {         # topic mesh.witness: members that the sender, one of their witnesses, has seen fail or come back
  version @0 :UInt16;      # 1
  failed  @1 :List(Data);  # node keys
  alive   @2 :List(Data);  # node keys
}
