"""The outgoing side of channels: what vendors only announce is fetched, what they never push is polled."""
