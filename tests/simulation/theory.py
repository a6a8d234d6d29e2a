"""Exact results of queueing theory, for the tests of the simulation. Rates are per second.

Sources: Erlang B and C, Gross et al., Fundamentals of Queueing Theory; Erlang A as a birth-death
process, Garnett, Mandelbaum and Reiman 2002; nonpreemptive priorities with c servers, Kella and Yechiali
1985; accumulating priorities, Kleinrock 1964 (c servers: Stanford, Taylor and Ziedins 2014); first come
first served with the longest idle server, Adan and Weiss 2014.
"""

from itertools import accumulate, permutations
from math import prod

import numpy


def erlang_b(servers, load):
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked


def erlang_c(servers, load):
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def birth_death(births, deaths):
    """Stationary probabilities of 0 to n; births[k] from k, deaths[k] from k + 1."""
    ratios = (birth / death for birth, death in zip(births, deaths, strict=True))
    weights = numpy.array([1.0, *accumulate(ratios, lambda a, b: a * b)])
    return weights / weights.sum()


def many_servers(rate, service, servers, room=400, patience=0.0):
    """(probabilities, mean number waiting) of M/M/c/(c + room) + M; `patience` is the rate."""
    births = [rate] * (servers + room)
    deaths = [
        service * min(n, servers) + patience * max(0, n - servers)
        for n in range(1, servers + room + 1)
    ]
    found = birth_death(births, deaths)
    return found, sum(max(0, n - servers) * share for n, share in enumerate(found))


def strict_priority_waits(rates, service, servers):
    """Mean wait of each class, the first the most urgent."""
    ahead = erlang_c(servers, sum(rates) / service) / (servers * service)
    loads = [0.0, *accumulate(rate / (servers * service) for rate in rates)]
    return [ahead / ((1 - before) * (1 - upto)) for before, upto in zip(loads, loads[1:])]


def accumulating_priority_waits(rates, weights, service, servers):
    """Mean wait of each class; priority grows with `weights`, which are in rising order."""
    loads = [rate / (servers * service) for rate in rates]
    first = erlang_c(servers, sum(rates) / service) / (servers * service) / (1 - sum(loads))
    waits = []
    for place, mine in enumerate(weights):
        below = sum(loads[i] * waits[i] * (1 - weights[i] / mine) for i in range(place))
        above = sum(loads[i] * (1 - mine / weights[i]) for i in range(place + 1, len(weights)))
        waits.append((first - below) / (1 - above))
    return waits


def fcfs_alis(rates, servers, skills):
    """{class: (probability of waiting, mean number waiting)}, by the product form over the orders of
    servers. `rates`: {class: rate}, `servers`: {server: service rate}, `skills`: {server: classes}."""
    weights, waits, lengths = 0.0, dict.fromkeys(rates, 0.0), dict.fromkeys(rates, 0.0)
    for order in permutations(servers):
        for busy in range(len(order) + 1):
            # Those before `busy` work, the one who began first in front; the last idles longest.
            heads = [order[: place + 1] for place in range(busy)]
            only = [
                [c for c in rates if not any(c in skills[s] for s in servers if s not in head)]
                for head in heads
            ]
            flows = [sum(rates[c] for c in classes) for classes in only]
            speeds = [sum(servers[s] for s in head) for head in heads]
            tails = [order[place:] for place in range(busy, len(order))]
            reached = [
                sum(rate for c, rate in rates.items() if any(c in skills[s] for s in tail))
                for tail in tails
            ]
            weight = prod(1 / (v - f) for v, f in zip(speeds, flows)) / prod(reached)
            weights += weight
            for c, rate in rates.items():
                if all(s in order[:busy] for s in servers if c in skills[s]):
                    waits[c] += weight
                lengths[c] += weight * sum(
                    rate / flow * (flow / speed) / (1 - flow / speed)
                    for classes, flow, speed in zip(only, flows, speeds)
                    if c in classes
                )
    return {c: (waits[c] / weights, lengths[c] / weights) for c in rates}


def retrial(rate, service, servers, again, probability, room=80):
    """(mean number in orbit, probability that all servers work): who finds none free comes again
    with a probability, after an exponential time of rate `again`."""
    states = [(n, m) for n in range(servers + 1) for m in range(room + 1)]
    place = {state: number for number, state in enumerate(states)}
    rates = numpy.zeros((len(states), len(states)))

    def move(state, to, speed):
        if to in place and speed:
            rates[place[state], place[to]] += speed

    for n, m in states:
        state = (n, m)
        move(state, (n - 1, m), n * service)
        if n < servers:
            move(state, (n + 1, m), rate)
            move(state, (n + 1, m - 1), m * again)
        else:
            move(state, (n, m + 1), rate * probability)
            move(state, (n, m - 1), m * again * (1 - probability))
    found = stationary(rates)
    orbit = sum(m * share for (_, m), share in zip(states, found, strict=True))
    full = sum(share for (n, _), share in zip(states, found, strict=True) if n == servers)
    return orbit, full


def stationary(rates):
    """Stationary probabilities of a Markov chain with these rates between states."""
    balance = (rates - numpy.diag(rates.sum(axis=1))).T
    balance[-1] = 1.0
    right = numpy.zeros(len(rates))
    right[-1] = 1.0
    return numpy.linalg.solve(balance, right)


def general_service_wait(loads, moments):
    """Mean wait of M/G/1, Pollaczek and Khinchine. `loads`: of each class, `moments`: (first,
    second) of its service."""
    second = sum(load / first * square for load, (first, square) in zip(loads, moments))
    return second / 2 / (1 - sum(loads))


def general_priority_waits(loads, moments):
    """Mean waits of the classes of M/G/1 without preemption, the first the most urgent (Cobham)."""
    left = sum(load / first * square for load, (first, square) in zip(loads, moments)) / 2
    upto = [0.0, *accumulate(loads)]
    return [left / ((1 - before) * (1 - after)) for before, after in zip(upto, upto[1:])]


def regular_arrivals_wait(every_s, mean_s):
    """Mean wait of D/M/1: sigma mean / (1 - sigma), sigma = exp(-(1 - sigma) every / mean)."""
    sigma = 0.5
    for _ in range(1_000):
        sigma = numpy.exp(-(1 - sigma) * every_s / mean_s)
    return sigma * mean_s / (1 - sigma)


def general_patience(rate, mean_s, servers, survives, upto_s, steps=400_000):
    """(probability of waiting, of abandoning, mean wait) of M/M/n+G. `survives`: of a numpy array of
    spans, the probability that patience lasts longer. Zeltyn and Mandelbaum 2005."""
    x = numpy.linspace(0, upto_s, steps)
    step = x[1] - x[0]
    held = numpy.concatenate([[0.0], numpy.cumsum(survives((x[1:] + x[:-1]) / 2)) * step])
    weight = numpy.exp(rate * held - servers / mean_s * x)
    whole, waits = numpy.trapezoid(weight, x), numpy.trapezoid(held * weight, x)
    before = sum(
        prod((servers - 1 - k) / (rate * mean_s) for k in range(fewer)) for fewer in range(servers)
    )
    total = before + rate * whole
    abandons = (1 + (rate - servers / mean_s) * whole) / total
    return rate * whole / total, abandons, rate * waits / total


def two_groups(rates, service, sizes):
    """(rate served by the second group for the first class, share lost of each class) of two groups
    without waiting: the first class overflows to the second group, the second has that alone."""
    states = [(n, m) for n in range(sizes[0] + 1) for m in range(sizes[1] + 1)]
    place = {state: number for number, state in enumerate(states)}
    moves = numpy.zeros((len(states), len(states)))
    for n, m in states:
        at = place[n, m]
        if n:
            moves[at, place[n - 1, m]] += n * service
        if m:
            moves[at, place[n, m - 1]] += m * service
        if n < sizes[0]:
            moves[at, place[n + 1, m]] += rates[0]
        elif m < sizes[1]:
            moves[at, place[n, m + 1]] += rates[0]
        if m < sizes[1]:
            moves[at, place[n, m + 1]] += rates[1]
    found = dict(zip(states, stationary(moves)))
    over = sum(share for (n, m), share in found.items() if n == sizes[0] and m < sizes[1])
    lost = sum(share for (n, m), share in found.items() if n == sizes[0] and m == sizes[1])
    full = sum(share for (n, m), share in found.items() if m == sizes[1])
    return rates[0] * over, lost, full


def varying(periods, service, servers, patience, room=80, steps_a_s=4):
    """[(mean number waiting, probability that all servers work)] over each period of
    M(t)/M/n+M, empty at the start. `periods`: (span_s, rate) each; Kolmogorov's forward equations."""
    states = numpy.arange(servers + room + 1)
    down = service * numpy.minimum(states, servers) + patience * numpy.maximum(0, states - servers)
    found, now = [], numpy.zeros(len(states))
    now[0] = 1.0
    for span_s, rate in periods:
        sums = numpy.zeros(2)
        up = numpy.full(len(states), rate)
        up[-1] = 0.0
        for _ in range(span_s * steps_a_s):
            change = -(up + down) * now
            change[1:] += up[:-1] * now[:-1]
            change[:-1] += down[1:] * now[1:]
            now = now + change / steps_a_s
            sums += (now @ numpy.maximum(0, states - servers), now[servers:].sum())
        found.append(tuple(sums / (span_s * steps_a_s)))
    return found
