"""Two implementations of the mesh packets and of AMOP against each other: `decoder.py` and `amop.py`, and our
Rust code.

Ours is reached through the example program `mesh_vectors` of chainmesh-wire, which says what it writes and
how it understands what it is given. Each check returns a note, or raises `Disagreement`. The same seed makes
the same packets.
"""

import json
import pathlib
import random
import shutil
import subprocess

from mesh_decoder import amop, decoder
from mesh_decoder.decoder import Malformed

DECODERS = decoder.DECODERS | amop.DECODERS
ENCODERS = decoder.ENCODERS | amop.ENCODERS

VECTORS = pathlib.Path(__file__).resolve().parent / "vectors.txt"

# Our zstd and the program's need not choose the same bytes.
BYTES_MAY_DIFFER = {"zstd"}
# A damaged zstd frame without a checksum has no defined content: two releases of libzstd (1.5.4, 1.5.7) make
# different bytes of the same one, or one refuses what the other takes.
UNDEFINED_WHEN_DAMAGED = {"zstd"}


class Disagreement(Exception):
    """The two implementations do not understand the same."""


def run(program, arguments, lines=()):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([program, *map(str, arguments)], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    if done.returncode:
        raise Disagreement(f"{program} {arguments}: exit {done.returncode}: {done.stderr[-400:]}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if lines and len(answers) != len(lines):
        raise Disagreement(f"{len(lines)} lines, {len(answers)} answers")
    return answers


def kinds():
    """What can be checked here; without the program zstd its kind is left out."""
    return [kind for kind in DECODERS if kind != "zstd" or shutil.which("zstd")]


def tally(lines):
    counts = {kind: sum(line["kind"] == kind for line in lines) for kind in DECODERS}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def expect(what, line, ours, theirs):
    if ours != theirs:
        raise Disagreement(f"{what} of {line['kind']} {line['hex'][:400]}\nours:   {ours}\ntheirs: {theirs}")


def ours_read_there(program, count, seed):
    """What our code writes is read by the decoder as it was meant, and written again to the same bytes."""
    lines = [line for line in run(program, ["make", count, seed]) if line["kind"] in kinds()]
    for line in lines:
        data = bytes.fromhex(line["hex"])
        expect("value", line, line["value"], DECODERS[line["kind"]](data))
        if line["kind"] not in BYTES_MAY_DIFFER:
            expect("bytes", line, line["hex"], ENCODERS[line["kind"]](line["value"]).hex())
    return tally(lines)


def theirs_read_here(program, count, seed):
    """What the decoder's other half writes is read by our code as it was meant, and written the same."""
    lines = made_here(count, seed)
    for line, answer in zip(lines, run(program, ["read"], lines)):
        expect("value", line, answer.get("value", answer.get("error")), line["value"])
        if line["kind"] not in BYTES_MAY_DIFFER:
            expect("bytes", line, answer["again"], line["hex"])
    return tally(lines)


def damaged(program, count, seed):
    """Of what was cut, changed or lengthened both think the same: the same value, or no value."""
    dice = random.Random(seed)
    whole = [line for line in made_here(count, seed) if line["kind"] not in UNDEFINED_WHEN_DAMAGED]
    lines = [damage(dice, line) for line in whole]
    accepted = 0
    for line, answer in zip(lines, run(program, ["read"], lines)):
        try:
            theirs = DECODERS[line["kind"]](bytes.fromhex(line["hex"]))
        except Malformed as error:
            theirs = None
            reason = str(error)
        if theirs is None and "value" in answer:
            raise Disagreement(f"{line['kind']} {line['hex'][:400]}\nours:   {answer}\ntheirs: {reason}")
        if "value" in answer:
            accepted += 1
            expect("value", line, answer["value"], theirs)
        elif theirs is not None:
            raise Disagreement(f"{line['kind']} {line['hex'][:400]}\nours:   {answer}\ntheirs: {theirs}")
    if not 0 < accepted < len(lines):
        raise Disagreement(f"{accepted} of {len(lines)} accepted: the damage tests nothing")
    return f"{len(lines) - accepted} refused by both, {accepted} read alike"


def vectors(program):
    """Both read the vectors, as the same, and write the same bytes again."""
    rows = [row.split("\t") for row in VECTORS.read_text().splitlines() if not row.startswith("#")]
    lines = [{"kind": kind, "hex": data} for kind, _, data in rows]
    for line, answer in zip(lines, run(program, ["read"], lines)):
        value = DECODERS[line["kind"]](bytes.fromhex(line["hex"]))
        expect("value", line, answer.get("value", answer.get("error")), value)
        expect("bytes", line, answer["again"], line["hex"])
        expect("bytes", line, ENCODERS[line["kind"]](value).hex(), line["hex"])
    return tally(lines)


# --- things to say ----------------------------------------------------------------------------------

def made_here(count, seed):
    dice = random.Random(seed)
    available = kinds()
    lines = []
    for turn in range(count):
        kind = available[turn % len(available)]
        value = MAKERS[kind](dice)
        lines.append({"kind": kind, "hex": ENCODERS[kind](value).hex(), "value": value})
    return lines


def damage(dice, line):
    if line["kind"] in amop.JSON_KINDS and dice.random() < 0.6:
        return {"kind": line["kind"], "hex": amop.damage_json(dice, bytes.fromhex(line["hex"])).hex()}
    data = bytearray.fromhex(line["hex"])
    what = dice.choice(["cut", "change", "change", "insert", "remove"])
    at = dice.randrange(len(data)) if data else 0
    if what == "cut":
        del data[at:]
    elif what == "change" and data:
        data[at] = dice.choice([0, 1, 0x0B, 0x7F, 0xFF, data[at] ^ 1 << dice.randrange(8)])
    elif what == "remove":
        del data[at:at + 1]
    else:
        data.insert(at, dice.randrange(256))
    # A length that is made right lets the damage reach what comes after it.
    if line["kind"] in ("packet", "rc2", "rc1", "channel") and len(data) >= 4 and dice.random() < 0.7:
        data[:4] = len(data).to_bytes(4, "big")
    return {"kind": line["kind"], "hex": data.hex()}


def raw(dice, most):
    return dice.randbytes(dice.randint(0, most)).hex()


def any_int(dice, bits=32):
    edge = 1 << dice.choice([size for size in (7, 15, 31) if size < bits])
    return dice.choice([0, 1, -1, edge - 1, -edge, dice.randint(-(1 << bits - 1), (1 << bits - 1) - 1)]
                       + ([edge, -edge - 1] if edge < 1 << bits - 1 else []))


def identity(dice):
    return dice.choice(["", dice.randbytes(32).hex(), dice.randbytes(270).hex().encode().hex()])


def make_packet(dice):
    packet = {"version": dice.randint(0, 3), "type": dice.choice([dice.randint(0, 13), dice.getrandbits(16)]),
              "seq": dice.getrandbits(32), "ext": dice.getrandbits(16), "payload": raw(dice, 200)}
    if packet["version"]:
        packet |= {"ttl": any_int(dice, 16), "src": identity(dice), "dst": identity(dice)}
    if packet["type"] in (5, 6):
        size = dice.randint(1, 64)
        count = dice.choice([1, 1, 2, 255]) if packet["type"] == 5 else dice.choice([0, 0, 1, 3])
        packet["options"] = {"group": raw(dice, 20), "src": dice.randbytes(size).hex(),
                             "dst": [dice.randbytes(size).hex() for _ in range(count)],
                             "module": dice.getrandbits(16)}
    return packet


def make_front(dice):
    return {"module": dice.getrandbits(16), "uuid": raw(dice, 255), "ext": dice.getrandbits(16),
            "payload": raw(dice, 200)}


def make_protocol_info(dice):
    return {"module": any_int(dice), "min": any_int(dice), "max": any_int(dice)}


def make_group(dice):
    return {"group": raw(dice, 20), "nodes": [raw(dice, 300) for _ in range(dice.randint(0, 3))],
            "type": dice.randint(0, 3),
            "protocols": [make_protocol_info(dice) for _ in range(dice.randint(0, 3))],
            "node_types": [any_int(dice) for _ in range(dice.randint(0, 3))]}


def make_node_status(dice):
    ours = {"role": any_int(dice), "height": dice.getrandbits(dice.choice([1, 8, 40, 64]))}
    return {"uuid": raw(dice, 600), "seq": dice.getrandbits(32), "extension": dice.choice([None, ours]),
            "groups": [make_group(dice) for _ in range(dice.randint(0, 3))]}


def make_router_table(dice):
    return [{"dst": identity(dice), "next": identity(dice), "distance": any_int(dice),
             "info": dice.choice([None, {"short": identity(dice), "long": identity(dice)}])}
            for _ in range(dice.randint(0, 4))]


def make_rc2(dice):
    protocol = any_int(dice)
    return {"version": dice.choice([0, 0x8000]), "protocol": protocol, "type": dice.getrandbits(16),
            "seq": dice.getrandbits(32), "response": protocol <= 0, "payload": raw(dice, 200)}


def make_topics(dice):
    topic = lambda: bytes(dice.choice(b"abc#!$ \n\xe4\xb8\xad") for _ in range(dice.randint(1, 20)))
    return {"seq": dice.getrandbits(32), "topics": [topic().hex() for _ in range(dice.randint(0, 9))]}


def make_zstd(dice):
    return {"plain": bytes(dice.choice(b"abcd") for _ in range(dice.randint(1, 4000))).hex()}


MAKERS = {
    "packet": make_packet, "front": make_front, "protocol_info": make_protocol_info,
    "node_status": make_node_status, "router_table": make_router_table, "rc2": make_rc2,
    "topics": make_topics, "zstd": make_zstd,
} | amop.MAKERS
