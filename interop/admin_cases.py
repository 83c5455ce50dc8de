"""What operators ask, of our node and of go-ethereum: the same names and kinds of values; and what our
node remembers of a geth of another chain."""

import json
import re

from cases import clique_genesis
from harness import ChainmeshNode, Failure, GethNode, Workplace, run_tool, wait_until


def differences(theirs, ours, path):
    """What geth's answer has and ours has not, or of another kind."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name, value in theirs.items():
            # We do not speak snap; how a chain configuration is written is not the question here.
            if name in ("snap", "config"):
                continue
            if name not in ours:
                yield f"{path}.{name} is missing"
            else:
                yield from differences(value, ours[name], f"{path}.{name}")
    elif type(theirs) is not type(ours):
        yield f"{path} is {json.dumps(ours)[:60]}, and of geth {json.dumps(theirs)[:60]}"


def start_geth(directory, place, genesis, text):
    genesis.write_text(text)
    geth = GethNode("geth", directory, genesis)
    place.nodes.append(geth)
    status, output = run_tool([GethNode.program, "init", "--datadir", geth.data, genesis], 60)
    if status != 0:
        raise Failure(f"geth init: exit {status}: {output.strip()[-300:]}")
    geth.start()
    return geth


def shapes_case(directory):
    """admin_nodeInfo and admin_peers, seen from both ends of one connection."""
    genesis = directory / "genesis.json"
    with Workplace(directory, ChainmeshNode, genesis) as place:
        geth = start_geth(directory, place, genesis, json.dumps(clique_genesis("00" * 19 + "01")))
        ours = place.node("ours")
        ours.start(bootnode=geth.enode())
        wait_until("our node and geth are peers", 30,
                   lambda: ours.peer_count() == 1 and geth.peer_count() == 1)
        of_geth = geth.call("admin_peers")[0]
        of_ours = ours.call("admin_peers")[0]
        found = [
            *differences(geth.call("admin_nodeInfo"), ours.call("admin_nodeInfo"), "nodeInfo"),
            *differences(of_geth, of_ours, "peers[0]"),
        ]
        if found:
            raise Failure("; ".join(found))
        ends = [of_geth["network"]["localAddress"], of_geth["network"]["remoteAddress"]]
        other = [of_ours["network"]["remoteAddress"], of_ours["network"]["localAddress"]]
        if ends != other:
            raise Failure(f"one connection: geth says {ends}, we say {other}")
        if of_ours["network"]["inbound"] or not of_geth["network"]["inbound"]:
            raise Failure("we have dialled")
        return f"eth/{of_ours['protocols']['eth']['version']}"


def other_chain_case(directory):
    """A geth of another chain costs one handshake, and `peers --why` says what it is."""
    genesis, theirs = directory / "genesis.json", directory / "theirs.json"
    with Workplace(directory, ChainmeshNode, genesis) as place:
        geth = start_geth(directory, place, theirs, json.dumps(clique_genesis("00" * 19 + "02")))
        genesis.write_text(json.dumps(clique_genesis("00" * 19 + "01")))
        ours = place.node("ours")
        ours.start(bootnode=geth.enode())

        def remembered():
            story = ours.call("admin_explainPeer", geth.enode())
            return story[0].get("mismatch") if story else None

        mismatch = wait_until("our node remembers that geth does not fit", 30, remembered)
        # geth may be gone before its Status has left: then only that is known.
        if mismatch["kind"] not in ("genesis", "refused"):
            raise Failure(f"mismatch: {mismatch}")
        command = [ChainmeshNode.program, "peers", "--data-dir", ours.data, "--why", geth.enode()]
        status, output = run_tool(command, 20)
        line = re.search(r"^(?:other chain +genesis 0x\w+… \(ours 0x\w+…\)|refuses us +.*subprotocol error).*$",
                         output, re.MULTILINE)
        if status != 0 or not line:
            raise Failure(f"exit {status}: {output.strip()[-600:]}")
        return line[0]
