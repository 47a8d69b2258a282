"""Fires volleys at lakeFS and, the same, at the gateways, and reads back from lakeFS what became of the branch."""

import collections
import dataclasses
import random
import threading

import dangers
import estate
import h2
import lake
import plain
import spellings
import wire

BATCH = 16
# The share of harmless requests among all, and of hard resets.
PLAIN, HARD_RESETS = 0.2, 0.3
# The share of dangers that are forced, on read-only repositories.
FORCED_DANGERS = 0.25
# The share of dangers that go over HTTP/2 as well.
HTTP2 = 0.1
# Which of the gateway's own refusals may come of policy or of its parser; the rest (429, 503) is load.
REFUSED = range(400, 500)


@dataclasses.dataclass
class Count:
    """What became of one family's volleys."""

    attempts: int = 0
    damage: int = 0
    slips: int = 0
    refused: int = 0
    false_refusals: int = 0
    hung: int = 0
    hung_direct: int = 0

    def add(self, other):
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Tally:
    """Counts by family, and the findings, shared by the workers."""

    def __init__(self):
        self.lock = threading.Lock()
        self.families = collections.defaultdict(Count)
        self.reasons = collections.Counter()
        self.findings = []
        self.done = 0
        self.over_http2 = 0

    def find(self, what, seed, family, detail):
        with self.lock:
            self.findings.append((what, seed, family, detail))
            if len(self.findings) <= 40:
                print(f"!! {what}: seed {seed}, {family}: {detail}", flush=True)

    def total(self):
        whole = Count()
        for count in self.families.values():
            whole.add(count)
        return whole


class Lane:
    """One kind of protection: a repository that is attacked directly, and one a gateway that is attacked through it."""

    def __init__(self, world, kind, gateways):
        self.kind = kind
        make = estate.Estate.make if kind in ("dw", "do") else lake.Target.make
        self.direct = make(world, kind)
        self.through = [(gateway, make(world, kind)) for gateway in gateways]

    def targets(self):
        return [self.direct, *(target for _, target in self.through)]


class Worker(threading.Thread):
    """Takes batches of seeds until there are none."""

    def __init__(self, world, gateways, take, tally, forced_share):
        super().__init__(daemon=True)
        self.world, self.take, self.tally, self.forced_share = world, take, tally, forced_share
        self.bearer = world.bearer()
        self.cookie = lake.tokens.internal_cookie(self.bearer, world.signing).partition("=")[2]
        self.sources = estate.Sources.of(world)
        self.lanes = {kind: Lane(world, kind, gateways) for kind in ("ro", "rw", "pl", "dw", "do")}
        self.failed = None

    def run(self):
        try:
            for seeds in iter(self.take, None):
                self.batch(seeds)
        except Exception as error:  # noqa: BLE001 - the main thread reports it
            self.failed = error

    def aim(self, target, address):
        return dangers.Aim(target, f"{address[0]}:{address[1]}", self.bearer, self.cookie, self.sources)

    def batch(self, seeds):
        """One batch is of one lane and one gateway, so that what moved has few suspects."""
        choose = random.Random(seeds[0])
        harmless = choose.random() < PLAIN
        hard = choose.random() < HARD_RESETS
        forced = choose.random() < (self.forced_share if hard else FORCED_DANGERS)
        kind = "pl" if harmless else {(True, True): "ro", (True, False): "rw", (False, True): "do", (False, False): "dw"}[hard, forced]
        lane, make = self.lanes[kind], plain.volley if harmless else spellings.volley if hard else dangers.volley
        gateway, target = choose.choice(lane.through)
        shots = [(seed, *self.at_lakefs(lane, make, seed)) for seed in seeds]
        outcomes = [(seed, family, damaged, direct, self.at_gateway(gateway, target, make, seed)) for seed, family, damaged, direct in shots]
        if not harmless:
            self.look_for_slips(gateway, target, make, [(seed, family) for seed, family, *_ in outcomes])
        for seed, family, damaged, direct, through in outcomes:
            self.note(gateway, seed, family, damaged, direct, through, harmless)
        self.look_for_desync(gateway, target, seeds)
        with self.tally.lock:
            self.tally.done += len(seeds)

    def at_lakefs(self, lane, make, seed):
        volley = make(seed, self.aim(lane.direct, self.world.address))
        if not volley.direct:
            return volley.family, False, wire.Outcome()
        outcome = wire.fire(self.world.address, volley.pieces, due=volley.due, head_only=volley.head_only)
        lane.direct.settle(outcome.statuses)
        damaged = lane.direct.moved()
        if damaged:
            lane.direct.restore()
        return volley.family, damaged, outcome

    def at_gateway(self, gateway, target, make, seed):
        aim = self.aim(target, gateway.address)
        volley = make(seed, aim)
        outcome = wire.fire(gateway.address, volley.pieces, due=volley.due, head_only=volley.head_only)
        target.settle(outcome.statuses)
        if make is dangers.volley and random.Random(seed + 1).random() < HTTP2:
            fields, body, end = dangers.over_http2(seed, aim)
            status = h2.fire(gateway.tls, fields, body, end=end, patience=10 if volley.due else 0.5)
            target.settle((status,))
            with self.tally.lock:
                self.tally.reasons[f"over HTTP/2, {status // 100}xx" if status else "over HTTP/2, the stream refused"] += 1
                self.tally.over_http2 += 1
        return outcome

    def look_for_slips(self, gateway, target, make, suspects):
        """If the branch moved, each of the batch is fired once more alone."""
        if not target.moved():
            return
        target.restore()
        guilty = []
        for seed, family in suspects:
            self.at_gateway(gateway, target, make, seed)
            if target.moved():
                target.restore()
                guilty.append((seed, family))
        for seed, family in guilty or [(suspects[0][0], "one of the batch")]:
            with self.tally.lock:
                self.tally.families[family].slips += 1
            self.tally.find("SLIP", seed, family, f"{gateway.way}, {target.repository[:2]}")

    def look_for_desync(self, gateway, target, seeds):
        """After each batch somebody else's request must get its own answer."""
        text = spellings.request(f"/api/v1/repositories/{target.repository}", self.aim(target, gateway.address), method="GET", length=False)
        outcome = wire.fire(gateway.address, [text.encode()])
        if outcome.status != 200 or target.repository.encode() not in outcome.raw:
            self.tally.find("DESYNC", seeds[0], "the batch from here", f"{gateway.way}: {outcome.statuses} {outcome.raw[:120]!r}")

    def note(self, gateway, seed, family, damaged, direct, through, harmless):
        reason = through.header("X-Lakegate-Reason")
        with self.tally.lock:
            count = self.tally.families[family]
            count.attempts += 1
            count.damage += damaged and not harmless
            count.refused += bool(reason)
            count.hung += not through.answered
            count.hung_direct += not direct.answered
            self.tally.reasons[reason or (f"passed on, {through.status // 100}xx" if through.status else "closed without a word")] += 1
        if not through.answered:
            self.tally.find("HUNG", seed, family, f"{gateway.way}; lakeFS: {direct.statuses}")
        if harmless and 200 <= direct.status < 300 and not 200 <= through.status < 300:
            detail = f"{gateway.way}: {through.statuses} {reason} {through.raw[-150:]!r}; lakeFS: {direct.statuses}"
            if reason and through.status in REFUSED:
                with self.tally.lock:
                    count.false_refusals += 1
                self.tally.find("FALSE REFUSAL", seed, family, detail)
            elif through.status not in (400, 404, 409):
                # (What is missing, or has nothing to commit, may be so in this repository only.)
                self.tally.find("OTHER ANSWER", seed, family, detail)
