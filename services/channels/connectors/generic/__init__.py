"""Kinds for any sender: the channel is a setting."""
