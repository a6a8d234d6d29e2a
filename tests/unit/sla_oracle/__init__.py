"""A second, slow implementation of both evaluate calls, written from the contract and not from the code."""
