//! Zero-copy ARP and NDP codecs and a sans-IO responder for addresses that move between machines.
