"""Requests that this installation makes to addresses that its users name."""
