"""The packets of the consortium mesh, read and written a second time, from the specification alone.

It shares nothing with the Rust code: a fault has to be made twice, in two languages, to stay unseen.
Values are plain dictionaries; byte strings in them are lower-case hex. `DECODERS` and `ENCODERS` have one
function for each kind. docs/src/wire-fisco.md says what is read and what is refused.
"""

import shutil
import struct
import subprocess

MAX_PACKET = 32 * 1024 * 1024
MAX_NODE_ID = 4096
WITH_OPTIONS = (5, 6)
NEEDS_ADDRESSEE = 5
TARS_DEPTH = 16
# The counts above which a message is refused.
MAX_GROUPS, MAX_NODES, MAX_ROUTES, MAX_TOPICS = 1024, 16384, 16384, 16384
# Our own field in the node status: FISCO's decoders pass over tags they do not know.
EXTENSION_TAG = 200


class Malformed(Exception):
    """The bytes are not what they should be."""


class Cursor:
    """Takes bytes from the front and never more than there are."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Malformed(f"{count} bytes wanted, {len(self.data) - self.at} are left")
        piece = self.data[self.at:self.at + count]
        self.at += count
        return piece

    def number(self, code):
        return struct.unpack(">" + code, self.take(struct.calcsize(code)))[0]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def left(self):
        return len(self.data) - self.at


# --- the 3.x packet ---------------------------------------------------------------------------------

def decode_packet(data):
    cursor = Cursor(data)
    length, version, kind, seq, ext = (cursor.number(code) for code in "IHHIH")
    if length > MAX_PACKET or length != len(data):
        raise Malformed(f"length {length} of {len(data)} bytes")
    if version > 3:
        raise Malformed(f"version {version}")
    packet = {"version": version, "type": kind, "seq": seq, "ext": ext}
    if version >= 1:
        packet["ttl"] = cursor.number("h")
        for name in ("src", "dst"):
            identity = cursor.take(cursor.number("H"))
            if len(identity) > MAX_NODE_ID:
                raise Malformed("node ID too long")
            packet[name] = identity.hex()
    if kind in WITH_OPTIONS:
        packet["options"] = decode_options(cursor, kind)
    packet["payload"] = cursor.rest().hex()
    return packet


def decode_options(cursor, kind):
    group = cursor.take(cursor.number("H"))
    size = cursor.number("H")
    if size == 0:
        raise Malformed("front node IDs of no length")
    src = cursor.take(size)
    dst = [cursor.take(size).hex() for _ in range(cursor.number("B"))]
    if kind == NEEDS_ADDRESSEE and not dst:
        raise Malformed("a message to one node names none")
    return {"group": group.hex(), "src": src.hex(), "dst": dst, "module": cursor.number("H")}


def encode_packet(packet):
    body = b""
    if packet["version"] >= 1:
        body += struct.pack(">h", packet["ttl"])
        for name in ("src", "dst"):
            identity = bytes.fromhex(packet[name])
            body += struct.pack(">H", len(identity)) + identity
    if packet["type"] in WITH_OPTIONS:
        options = packet["options"]
        group, src = bytes.fromhex(options["group"]), bytes.fromhex(options["src"])
        body += struct.pack(">H", len(group)) + group + struct.pack(">H", len(src)) + src
        body += bytes([len(options["dst"])]) + b"".join(bytes.fromhex(one) for one in options["dst"])
        body += struct.pack(">H", options["module"])
    body += bytes.fromhex(packet["payload"])
    head = struct.pack(">IHHIH", 14 + len(body), packet["version"], packet["type"], packet["seq"],
                       packet["ext"])
    return head + body


# --- FrontMessage, the payload of types 5 and 6 -----------------------------------------------------

def decode_front(data):
    cursor = Cursor(data)
    module = cursor.number("H")
    uuid = cursor.take(cursor.number("B"))
    ext = cursor.number("H")
    return {"module": module, "uuid": uuid.hex(), "ext": ext, "payload": cursor.rest().hex()}


def encode_front(front):
    uuid = bytes.fromhex(front["uuid"])
    return (struct.pack(">HB", front["module"], len(uuid)) + uuid + struct.pack(">H", front["ext"])
            + bytes.fromhex(front["payload"]))


# --- Tars -------------------------------------------------------------------------------------------

INTEGERS = {0: ("b", 1), 1: ("h", 2), 2: ("i", 4), 3: ("q", 8)}


def tars_head(cursor):
    first = cursor.number("B")
    tag, kind = first >> 4, first & 15
    return (cursor.number("B") if tag == 15 else tag), kind


def tars_value(cursor, kind, depth):
    """The value behind a head. Structs come as {tag: (kind, value)}."""
    if kind in INTEGERS:
        return cursor.number(INTEGERS[kind][0])
    if kind == 12:
        return 0
    if kind in (4, 5):
        return cursor.number("f" if kind == 4 else "d")
    if kind == 6:
        return cursor.take(cursor.number("B"))
    if kind == 7:
        return cursor.take(cursor.number("I"))
    if kind == 13:
        if tars_head(cursor) != (0, 0):
            raise Malformed("byte array of something else than bytes")
        return cursor.take(tars_count(cursor))
    if depth >= TARS_DEPTH:
        raise Malformed("nested too deep")
    if kind == 8:
        return [(tars_element(cursor, 0, depth + 1), tars_element(cursor, 1, depth + 1))
                for _ in range(tars_count(cursor))]
    if kind == 9:
        return [tars_element(cursor, 0, depth + 1) for _ in range(tars_count(cursor))]
    if kind == 10:
        return tars_fields(cursor, depth + 1, True)
    raise Malformed(f"type {kind}")


def tars_element(cursor, tag, depth):
    found, kind = tars_head(cursor)
    if found != tag:
        raise Malformed(f"tag {found} in a list")
    return kind, tars_value(cursor, kind, depth)


def tars_count(cursor):
    tag, kind = tars_head(cursor)
    if tag != 0 or kind not in (0, 1, 2, 12):
        raise Malformed("a count is an integer with tag 0")
    count = tars_value(cursor, kind, 0)
    if count < 0 or count > cursor.left():
        raise Malformed(f"count {count}")
    return count


def tars_fields(cursor, depth, inside):
    fields, last = {}, -1
    while inside or cursor.left():
        tag, kind = tars_head(cursor)
        if kind == 11:
            if not inside:
                raise Malformed("end of no struct")
            return fields
        if tag <= last:
            raise Malformed("tags go down")
        fields[tag], last = (kind, tars_value(cursor, kind, depth)), tag
    return fields


def integer(fields, tag, default=None, wide=False):
    if tag not in fields:
        if default is None:
            raise Malformed(f"field {tag} is missing")
        return default
    return as_integer(fields[tag], wide)


def as_integer(element, wide=False):
    kind, value = element
    if kind not in ((0, 1, 2, 3, 12) if wide else (0, 1, 2, 12)):
        raise Malformed(f"type {kind} where an integer should be")
    return value


def text(fields, tag, default=None):
    if tag not in fields:
        if default is None:
            raise Malformed(f"field {tag} is missing")
        return default
    return as_text(fields[tag])


def as_text(element):
    kind, value = element
    if kind not in (6, 7):
        raise Malformed(f"type {kind} where a string should be")
    return value.hex()


def elements(fields, tag, limit):
    kind, value = fields.get(tag, (9, []))
    if kind != 9:
        raise Malformed(f"type {kind} where a list should be")
    if len(value) > limit:
        raise Malformed(f"{len(value)} elements")
    return value


def as_struct(element):
    kind, value = element
    if kind != 10:
        raise Malformed(f"type {kind} where a struct should be")
    return value


def put_head(tag, kind):
    return bytes([tag << 4 | kind]) if tag < 15 else bytes([0xF0 | kind, tag])


def put_integer(tag, value):
    if value == 0:
        return put_head(tag, 12)
    for kind, (code, size) in INTEGERS.items():
        if -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
            return put_head(tag, kind) + struct.pack(">" + code, value)
    raise ValueError(value)


def put_text(tag, hexadecimal):
    data = bytes.fromhex(hexadecimal)
    if len(data) <= 255:
        return put_head(tag, 6) + bytes([len(data)]) + data
    return put_head(tag, 7) + struct.pack(">I", len(data)) + data


def put_list(tag, encoded):
    return put_head(tag, 9) + put_integer(0, len(encoded)) + b"".join(encoded)


def put_struct(tag, fields):
    return put_head(tag, 10) + fields + b"\x0b"


def signed(value):
    return value - (1 << 32) if value >= 1 << 31 else value


# --- the messages in Tars ---------------------------------------------------------------------------

def protocol_info_fields(fields):
    return {"module": integer(fields, 1), "min": integer(fields, 2), "max": integer(fields, 3)}


def decode_protocol_info(data):
    return protocol_info_fields(tars_fields(Cursor(data), 0, False))


def encode_protocol_info(info):
    return put_integer(1, info["module"]) + put_integer(2, info["min"]) + put_integer(3, info["max"])


def decode_node_status(data):
    fields = tars_fields(Cursor(data), 0, False)
    groups = []
    for element in elements(fields, 3, MAX_GROUPS):
        group = as_struct(element)
        groups.append({
            "group": text(group, 1, ""),
            "nodes": [as_text(one) for one in elements(group, 2, MAX_NODES)],
            "type": integer(group, 3, 0),
            "protocols": [protocol_info_fields(as_struct(one)) for one in elements(group, 4, MAX_NODES)],
            "node_types": [as_integer(one) for one in elements(group, 5, MAX_NODES)],
        })
    status = {"uuid": text(fields, 1), "seq": integer(fields, 2) & 0xFFFFFFFF, "groups": groups,
              "extension": None}
    if EXTENSION_TAG in fields:
        ours = as_struct(fields[EXTENSION_TAG])
        status["extension"] = {"role": integer(ours, 1),
                               "height": integer(ours, 2, wide=True) & 0xFFFFFFFFFFFFFFFF}
    return status


def encode_node_status(status):
    out = put_text(1, status["uuid"]) + put_integer(2, signed(status["seq"]))
    if status["groups"]:
        out += put_list(3, [put_struct(0, encode_group(group)) for group in status["groups"]])
    if status["extension"]:
        height = status["extension"]["height"]
        height -= (1 << 64) if height >= 1 << 63 else 0
        out += put_struct(EXTENSION_TAG, put_integer(1, status["extension"]["role"]) + put_integer(2, height))
    return out


def encode_group(group):
    out = put_text(1, group["group"]) if group["group"] else b""
    if group["nodes"]:
        out += put_list(2, [put_text(0, one) for one in group["nodes"]])
    if group["type"]:
        out += put_integer(3, group["type"])
    if group["protocols"]:
        out += put_list(4, [put_struct(0, encode_protocol_info(one)) for one in group["protocols"]])
    if group["node_types"]:
        out += put_list(5, [put_integer(0, one) for one in group["node_types"]])
    return out


def decode_router_table(data):
    routes = []
    for element in elements(tars_fields(Cursor(data), 0, False), 1, MAX_ROUTES):
        entry = as_struct(element)
        route = {"dst": node_id(text(entry, 1)), "next": node_id(text(entry, 2, "")),
                 "distance": integer(entry, 3), "info": None}
        if 4 in entry:
            info = as_struct(entry[4])
            route["info"] = {"short": node_id(text(info, 1, "")), "long": node_id(text(info, 2, ""))}
        routes.append(route)
    return routes


def node_id(hexadecimal):
    if len(hexadecimal) > 2 * MAX_NODE_ID:
        raise Malformed("node ID too long")
    return hexadecimal


def encode_router_table(routes):
    encoded = []
    for route in routes:
        entry = put_text(1, route["dst"])
        if route["next"]:
            entry += put_text(2, route["next"])
        entry += put_integer(3, route["distance"])
        if route["info"] is not None:
            info = b"".join(put_text(tag, route["info"][name])
                            for tag, name in ((1, "short"), (2, "long")) if route["info"][name])
            entry += put_struct(4, info)
        encoded.append(put_struct(0, entry))
    return put_list(1, encoded) if encoded else b""


# --- 2.x: the RC2 packet and the list of topics -----------------------------------------------------

def decode_rc2(data):
    cursor = Cursor(data)
    length, version, protocol, kind, seq = (cursor.number(code) for code in "IHiHI")
    if length > MAX_PACKET or length != len(data):
        raise Malformed(f"length {length} of {len(data)} bytes")
    return {"version": version, "protocol": protocol, "type": kind, "seq": seq,
            "response": protocol <= 0, "payload": cursor.rest().hex()}


def encode_rc2(packet):
    payload = bytes.fromhex(packet["payload"])
    return struct.pack(">IHiHI", 16 + len(payload), packet["version"], packet["protocol"], packet["type"],
                       packet["seq"]) + payload


def decimal(data):
    if not data or len(data) > 10 or not all(0x30 <= digit <= 0x39 for digit in data):
        raise Malformed("no decimal number")
    if int(data) >= 1 << 32:
        raise Malformed("number above 32 bits")
    return int(data)


def decode_topics(data):
    first, *topics = data.split(b"\t")
    topics = [topic.hex() for topic in topics if topic]
    if len(topics) > MAX_TOPICS:
        raise Malformed(f"{len(topics)} topics")
    return {"seq": decimal(first), "topics": topics}


def encode_topics(value):
    return b"\t".join([str(value["seq"]).encode(), *map(bytes.fromhex, value["topics"])])


# --- zstd, by the program of that name --------------------------------------------------------------

def zstd(arguments, data):
    return subprocess.run([shutil.which("zstd"), "-q", "-c", *arguments], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)


def decode_zstd(data):
    done = zstd(["-d"], data)
    if done.returncode:
        raise Malformed(done.stderr.decode().strip())
    return {"plain": done.stdout.hex()}


def encode_zstd(value):
    """One frame with its content size in it, as FISCO's receiver asks."""
    plain = bytes.fromhex(value["plain"])
    return zstd(["-1", "--no-check", f"--stream-size={len(plain)}"], plain).stdout


DECODERS = {
    "packet": decode_packet, "front": decode_front, "protocol_info": decode_protocol_info,
    "node_status": decode_node_status, "router_table": decode_router_table, "rc2": decode_rc2,
    "topics": decode_topics, "zstd": decode_zstd,
}
ENCODERS = {
    "packet": encode_packet, "front": encode_front, "protocol_info": encode_protocol_info,
    "node_status": encode_node_status, "router_table": encode_router_table, "rc2": encode_rc2,
    "topics": encode_topics, "zstd": encode_zstd,
}
