"""State, pure: who is a member and what replicated tables hold, as bytes and value types that merge.

Records, their order and logical time; certificates, tickets, revocations and the view of the members they give. No
clock, no I/O, no threads: whoever needs the time passes it in. What is decoded here came from outside and is bounded.
"""
