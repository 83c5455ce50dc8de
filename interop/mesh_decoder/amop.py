"""AMOP, read and written a second time, from the specification alone: between 3.x nodes, the channel frames
of 2.x SDKs, the WebSocket messages of 3.x SDKs, and the RC1 packet.

As in `decoder.py`: byte strings in values are lower-case hex; texts out of JSON are texts. `MAKERS` draw
values to say. docs/src/wire-amop.md says what is read and what is refused.
"""

import json
import struct

from mesh_decoder.decoder import Cursor, MAX_GROUPS, MAX_NODE_ID, MAX_PACKET, Malformed

MAX_TOPICS, MAX_NODE_TOPICS = 1024, 16384
MAX_TOPIC, MAX_TOPIC_2X = 65535, 254
MAX_FRAME, CHANNEL_HEADER = 100 * 1024 * 1024, 42
MAX_WS, MAX_WS_SEQ = 32 * 1024 * 1024, 255


# --- JSON -------------------------------------------------------------------------------------------

class Pairs(list):
    """An object, with repeated keys still in it."""


def parse(data):
    def no_constant(name):
        raise Malformed(name)

    def whole(digits):
        return float("-0") if digits == "-0" else int(digits)

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=Pairs, parse_constant=no_constant,
                          parse_int=whole)
    except ValueError as error:
        raise Malformed(str(error)) from error


def fields(data, names):
    """The fields of these names of the one object that `data` is; other fields are passed over."""
    value = parse(data)
    if not isinstance(value, Pairs):
        raise Malformed("no object")
    found = {}
    for key, content in value:
        if text(key) in names:
            if key in found:
                raise Malformed(f"{key} twice")
            found[key] = content
    return found


def text(value, most=None):
    if not isinstance(value, str) or any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
        raise Malformed("no text")
    if most is not None and len(value.encode()) > most:
        raise Malformed("too long")
    return value


def number(found, name, bits, signed, default=None):
    value = found.get(name, default)
    if type(value) is not int:
        raise Malformed(f"{name} is no whole number")
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= value <= high:
        raise Malformed(f"{name}: {value}")
    return value


def required(found, name, most=None):
    if name not in found:
        raise Malformed(f"{name} is missing")
    return text(found[name], most)


def topic_texts(value, most, count=MAX_TOPICS):
    if not isinstance(value, list) or isinstance(value, Pairs):
        raise Malformed("no list")
    if len(value) > count:
        raise Malformed(f"{len(value)} topics")
    return [text(topic, most) for topic in value]


SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(value):
    """As jsoncpp writes it: ASCII, escapes in lower case, surrogates from U+10000 on."""
    out = ""
    for letter in value:
        if letter in SHORT:
            out += SHORT[letter]
        elif " " <= letter <= "\x7f":
            out += letter
        else:
            units = letter.encode("utf-16-be")
            out += "".join(f"\\u{units[at:at + 2].hex()}" for at in range(0, len(units), 2))
    return f'"{out}"'


def quoted_list(values):
    return "[" + ",".join(map(quoted, values)) + "]"


def written(*pairs, end="\n"):
    return ("{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}" + end).encode()


# --- between 3.x nodes ------------------------------------------------------------------------------

def decode_amop(data):
    cursor = Cursor(data)
    version, kind, status = (cursor.number("H") for _ in range(3))
    return {"version": version, "type": kind, "status": status, "data": cursor.rest().hex()}


def encode_amop(value):
    return struct.pack(">HHH", value["version"], value["type"], value["status"]) + bytes.fromhex(value["data"])


def decode_request(data):
    cursor = Cursor(data)
    version = cursor.number("I")
    topic = cursor.take(cursor.number("H"))
    return {"version": version, "topic": topic.hex(), "data": cursor.rest().hex()}


def encode_request(value):
    topic = bytes.fromhex(value["topic"])
    return struct.pack(">IH", value["version"], len(topic)) + topic + bytes.fromhex(value["data"])


def decode_topic_list(data):
    found = fields(data, ("topicItems", "topicSeq"))
    topics = found.get("topicItems")
    return {"topics": [] if topics is None else topic_texts(topics, MAX_TOPIC, MAX_NODE_TOPICS),
            "seq": number(found, "topicSeq", 32, False)}


def encode_topic_list(value):
    return written(("topicItems", quoted_list(value["topics"])), ("topicSeq", value["seq"]))


# --- the channel protocol of 2.x SDKs ---------------------------------------------------------------

def decode_channel(data):
    cursor = Cursor(data)
    length, kind = cursor.number("I"), cursor.number("H")
    seq, result = cursor.take(32), cursor.number("i")
    if length != len(data) or not CHANNEL_HEADER <= length <= MAX_FRAME:
        raise Malformed(f"length {length} of {len(data)} bytes")
    return {"type": kind, "seq": seq.hex(), "result": result, "data": cursor.rest().hex()}


def encode_channel(value):
    data = bytes.fromhex(value["data"])
    return (struct.pack(">IH", CHANNEL_HEADER + len(data), value["type"]) + bytes.fromhex(value["seq"])
            + struct.pack(">i", value["result"]) + data)


def decode_topic_body(data):
    cursor = Cursor(data)
    topic = cursor.take(cursor.number("B") - 1)
    return {"topic": topic.hex(), "data": cursor.rest().hex()}


def encode_topic_body(value):
    topic = bytes.fromhex(value["topic"])
    return bytes([len(topic) + 1]) + topic + bytes.fromhex(value["data"])


def decode_subscription_2x(data):
    return {"topics": topic_texts(parse(data), MAX_TOPIC_2X)}


def encode_subscription_2x(value):
    return quoted_list(value["topics"]).encode()


def decode_handshake_2x(data):
    found = fields(data, ("maximumSupport", "minimumSupport", "clientType"))
    return {"max": number(found, "maximumSupport", 32, True, 1), "min": number(found, "minimumSupport", 32, True, 1),
            "client": text(found.get("clientType", ""))}


def encode_handshake_2x(value):
    return written(("maximumSupport", value["max"]), ("minimumSupport", value["min"]),
                   ("clientType", quoted(value["client"])), end="")


def decode_handshake_reply_2x(data):
    found = fields(data, ("nodeVersion", "protocol"))
    protocol = number(found, "protocol", 32, True)
    if protocol not in (1, 2, 3):
        raise Malformed(f"version {protocol}")
    return {"node": text(found.get("nodeVersion", "")), "protocol": protocol}


def encode_handshake_reply_2x(value):
    return written(("nodeVersion", quoted(value["node"])), ("protocol", value["protocol"]))


def decode_heartbeat(data):
    if data in (b"", b"0", b"1"):
        return {"reply": data == b"1"}
    beat = number(fields(data, ("heartBeat",)), "heartBeat", 32, False)
    if beat > 1:
        raise Malformed(f"heartbeat {beat}")
    return {"reply": beat == 1}


def encode_heartbeat(value):
    """As versions 2 and 3 write it."""
    return b'{"heartBeat":1}\n' if value["reply"] else b'{"heartBeat":0}'


def decode_verify(data):
    found = fields(data, ("nodeId", "topic", "topicForCert"))
    return {"node": required(found, "nodeId", MAX_NODE_ID), "topic": required(found, "topic", MAX_TOPIC_2X),
            "channel": required(found, "topicForCert", MAX_TOPIC_2X)}


def encode_verify(value):
    return written(("nodeId", quoted(value["node"])), ("topic", quoted(value["topic"])),
                   ("topicForCert", quoted(value["channel"])))


def decode_verdict(data):
    found = fields(data, ("checkResult", "nodeId", "topic"))
    return {"result": number(found, "checkResult", 32, True), "node": required(found, "nodeId", MAX_NODE_ID),
            "topic": required(found, "topic", MAX_TOPIC_2X)}


def encode_verdict(value):
    return written(("checkResult", value["result"]), ("nodeId", quoted(value["node"])),
                   ("topic", quoted(value["topic"])), end="")


# --- the WebSocket messages of 3.x SDKs -------------------------------------------------------------

def decode_ws(data):
    if len(data) > MAX_WS:
        raise Malformed(f"{len(data)} bytes")
    cursor = Cursor(data)
    version, kind, status, size = (cursor.number(code) for code in "HHhH")
    if size > MAX_WS_SEQ:
        raise Malformed(f"seq of {size} bytes")
    seq, ext = cursor.take(size), cursor.number("H")
    return {"version": version, "type": kind, "status": status, "seq": seq.hex(), "ext": ext,
            "payload": cursor.rest().hex()}


def encode_ws(value):
    seq = bytes.fromhex(value["seq"])
    return (struct.pack(">HHhH", value["version"], value["type"], value["status"], len(seq)) + seq
            + struct.pack(">H", value["ext"]) + bytes.fromhex(value["payload"]))


def decode_subscription_ws(data):
    topics = fields(data, ("topics",)).get("topics")
    return {"topics": [] if topics is None else topic_texts(topics, MAX_TOPIC)}


def encode_subscription_ws(value):
    return written(("topics", quoted_list(value["topics"])))


def decode_handshake_ws(data):
    names = ("maxVersion", "minVersion", "moduleID")
    found = fields(data, names)
    highest, lowest, module = (number(found, name, 32, True) for name in names)
    if not 0 <= module <= 3:
        raise Malformed(f"module {module}")
    return {"max": highest, "min": lowest, "module": module}


def encode_handshake_ws(value):
    return written(("maxVersion", value["max"]), ("minVersion", value["min"]), ("moduleID", value["module"]))


def decode_handshake_reply_ws(data):
    found = fields(data, ("groupBlockNumber", "protocolVersion"))
    heights = []
    groups = found.get("groupBlockNumber")
    if groups is not None and (not isinstance(groups, list) or isinstance(groups, Pairs)):
        raise Malformed("no list")
    for group in groups or []:
        if not isinstance(group, Pairs):
            raise Malformed("no object")
        each = [[text(name), number({name: height}, name, 64, True)] for name, height in group]
        heights += each[-1:]
    if len(heights) > MAX_GROUPS:
        raise Malformed(f"{len(heights)} groups")
    return {"heights": heights, "protocol": number(found, "protocolVersion", 32, True)}


def encode_handshake_reply_ws(value):
    heights = ",".join("{" + f"{quoted(group)}:{height}" + "}" for group, height in value["heights"])
    return written(("groupBlockNumber", f"[{heights}]"), ("groupInfoList", "[]"),
                   ("protocolVersion", value["protocol"]))


# --- the RC1 packet ---------------------------------------------------------------------------------

def decode_rc1(data):
    """Protocol IDs come as RC2 writes them, so that one table serves both."""
    cursor = Cursor(data)
    length, protocol, kind, seq = (cursor.number(code) for code in "IhHI")
    if length > MAX_PACKET or length != len(data):
        raise Malformed(f"length {length} of {len(data)} bytes")
    wide = (abs(protocol) >> 8) << 16 | abs(protocol) & 0xFF
    return {"protocol": -wide if protocol < 0 else wide, "type": kind, "seq": seq,
            "payload": cursor.rest().hex()}


def encode_rc1(value):
    wide = abs(value["protocol"])
    narrow = wide >> 16 << 8 | wide & 0xFF
    payload = bytes.fromhex(value["payload"])
    return struct.pack(">IhHI", 12 + len(payload), -narrow if value["protocol"] < 0 else narrow, value["type"],
                       value["seq"]) + payload


# --- damage that knows JSON -------------------------------------------------------------------------

LITERALS = ["null", "true", "[]", "{}", '""', '"\\ud800"', '"\\ud83d\\ude00"', "-0", "0", "4", "1.0", "1e2", "-1",
            "-2147483649", "2147483648", "4294967295", "4294967296", "9223372036854775808", "[[]]", "[null]", "[1]", "[{}]",
            '["a"]', '[{"a":1,"a":2}]', '[{"a":1},{}]', '[{"a":-9223372036854775808}]', '[{"a":1.0}]']


def damage_json(dice, data):
    """One field with another value, twice, gone or new; the values alone as an array; or blanks between."""
    body = json.loads(data)
    parts = [(json.dumps(key), json.dumps(value)) for key, value in body.items()] if isinstance(body, dict) else None
    if not parts:
        return dice.choice(LITERALS).encode()
    at = dice.randrange(len(parts))
    what = dice.choice(["value", "value", "value", "twice", "gone", "new", "array", "blanks"])
    if what == "value":
        parts[at] = parts[at][0], dice.choice(LITERALS)
    elif what == "twice":
        parts.insert(dice.randrange(len(parts)), parts[at])
    elif what == "gone":
        del parts[at]
    elif what == "new":
        parts.insert(at, (dice.choice(['"x"', '"\\u0078"', '"\\ud800"']), dice.choice(LITERALS)))
    blank = dice.choice(["", " ", "\n\t\r", "\f"]) if what == "blanks" else ""
    if what == "array":
        return ("[" + ",".join(value for _, value in parts) + "]").encode()
    return ("{" + ",".join(f"{blank}{key}{blank}:{blank}{value}" for key, value in parts) + "}" + blank).encode()


JSON_KINDS = ("topic_list", "subscription_2x", "handshake_2x", "handshake_reply_2x", "heartbeat", "verify",
              "verdict", "subscription_ws", "handshake_ws", "handshake_reply_ws")

# --- things to say ----------------------------------------------------------------------------------

LETTERS = "abcTopic_#!$/ \"\\\b\f\n\r\t\0\x01\x1f\x7f\x80é中\ud7ff\ue000\uffff\U00010000😀\U0010ffff"


def words(dice, most=20):
    return "".join(dice.choice(LETTERS) for _ in range(dice.randint(0, most)))


def raw(dice, most):
    return dice.randbytes(dice.randint(0, most)).hex()


def int32(dice):
    return dice.choice([0, 1, 2, 3, -1, 2 ** 31 - 1, -2 ** 31, dice.randint(-2 ** 31, 2 ** 31 - 1)])


def topics(dice):
    return [words(dice) for _ in range(dice.randint(0, 6))]


def make_rc1(dice):
    wide = dice.randint(0, 127) << 16 | dice.randint(0, 255)
    return {"protocol": dice.choice([wide, -wide]), "type": dice.getrandbits(16), "seq": dice.getrandbits(32),
            "payload": raw(dice, 100)}


MAKERS = {
    "amop": lambda dice: {"version": dice.getrandbits(16), "type": dice.choice([1, 2, 3, 4, 5, dice.getrandbits(16)]),
                          "status": dice.getrandbits(16), "data": raw(dice, 100)},
    "amop_request": lambda dice: {"version": dice.getrandbits(32), "topic": raw(dice, 300), "data": raw(dice, 100)},
    "topic_list": lambda dice: {"topics": topics(dice), "seq": dice.choice([1, dice.getrandbits(32)])},
    "channel": lambda dice: {"type": dice.choice([0x30, 0x31, 0x32, 0x35, dice.getrandbits(16)]),
                             "seq": dice.randbytes(32).hex(), "result": int32(dice), "data": raw(dice, 100)},
    "topic_body": lambda dice: {"topic": raw(dice, MAX_TOPIC_2X), "data": raw(dice, 100)},
    "subscription_2x": lambda dice: {"topics": topics(dice)},
    "handshake_2x": lambda dice: {"max": int32(dice), "min": int32(dice), "client": words(dice)},
    "handshake_reply_2x": lambda dice: {"node": words(dice), "protocol": dice.randint(1, 3)},
    "heartbeat": lambda dice: {"reply": dice.random() < 0.5},
    "verify": lambda dice: {"node": words(dice), "topic": words(dice), "channel": words(dice)},
    "verdict": lambda dice: {"result": int32(dice), "node": words(dice), "topic": words(dice)},
    "ws": lambda dice: {"version": dice.getrandbits(16), "type": dice.choice([0, 0x100, 0x111, dice.getrandbits(16)]),
                        "status": dice.randint(-2 ** 15, 2 ** 15 - 1), "seq": raw(dice, MAX_WS_SEQ),
                        "ext": dice.getrandbits(16), "payload": raw(dice, 100)},
    "subscription_ws": lambda dice: {"topics": topics(dice)},
    "handshake_ws": lambda dice: {"max": int32(dice), "min": int32(dice), "module": dice.randint(0, 3)},
    "handshake_reply_ws": lambda dice: {
        "heights": [[words(dice), dice.randint(-2 ** 63, 2 ** 63 - 1)] for _ in range(dice.randint(0, 3))],
        "protocol": int32(dice)},
    "rc1": make_rc1,
}
DECODERS = {
    "amop": decode_amop, "amop_request": decode_request, "topic_list": decode_topic_list,
    "channel": decode_channel, "topic_body": decode_topic_body, "subscription_2x": decode_subscription_2x,
    "handshake_2x": decode_handshake_2x, "handshake_reply_2x": decode_handshake_reply_2x,
    "heartbeat": decode_heartbeat, "verify": decode_verify, "verdict": decode_verdict, "ws": decode_ws,
    "subscription_ws": decode_subscription_ws, "handshake_ws": decode_handshake_ws,
    "handshake_reply_ws": decode_handshake_reply_ws, "rc1": decode_rc1,
}
ENCODERS = {
    "amop": encode_amop, "amop_request": encode_request, "topic_list": encode_topic_list,
    "channel": encode_channel, "topic_body": encode_topic_body, "subscription_2x": encode_subscription_2x,
    "handshake_2x": encode_handshake_2x, "handshake_reply_2x": encode_handshake_reply_2x,
    "heartbeat": encode_heartbeat, "verify": encode_verify, "verdict": encode_verdict, "ws": encode_ws,
    "subscription_ws": encode_subscription_ws, "handshake_ws": encode_handshake_ws,
    "handshake_reply_ws": encode_handshake_reply_ws, "rc1": encode_rc1,
}
