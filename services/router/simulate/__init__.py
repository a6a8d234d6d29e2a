"""Discrete-event simulation of a contact centre on the production core, in virtual time."""
