"""Mesh, the effects on other machines: connections, calls, gossip, who is let in, who is alive.

`network.py` is the seam everything above sees; `libp2p_host.py` implements it on real networks, the simulator in
memory. What strangers send is bounded, verified and counted here before any other layer hears of it.
"""
