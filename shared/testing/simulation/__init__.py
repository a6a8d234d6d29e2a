"""Seeded simulation of whole services: production runner and cores, virtual time, faults by chance.

`run.simulate(seed, parts)` plays one life; the cores come in as `parts`, for this package knows no
service. Everything is drawn from the seed, so a life is the same each time.
"""
