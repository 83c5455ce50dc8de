"""A chain for the group `rpc`: go-ethereum seals it, with every kind of transaction that clique knows.

Everything is chosen here, so both nodes know the same accounts and contracts by name.
"""

import hashlib
import json
import re
import subprocess

from harness import Failure, GethNode, run_tool, wait_until

CHAIN_ID = 1515
KEY = hashlib.sha256(b"chainmesh interop rpc").hexdigest()
TOPIC = "0x" + "a1" * 32
RICH = "0x" + "11" * 20
GENESIS_CONTRACT = "0x" + "22" * 20

# What the contract does is the first word of its input.
READ, STORE, REVERT, INVALID, LOOP, REVERT_EMPTY, PANIC, BLOCK, UNDERFLOW, JUMP = range(10)

OPCODES = {
    "STOP": 0x00, "ADD": 0x01, "SUB": 0x03, "EQ": 0x14, "ADDRESS": 0x30, "ORIGIN": 0x32, "CALLER": 0x33,
    "CALLVALUE": 0x34, "CALLDATALOAD": 0x35, "CODECOPY": 0x39, "GASPRICE": 0x3a, "BLOCKHASH": 0x40,
    "COINBASE": 0x41, "TIMESTAMP": 0x42, "NUMBER": 0x43, "DIFFICULTY": 0x44, "GASLIMIT": 0x45,
    "CHAINID": 0x46, "SELFBALANCE": 0x47, "BASEFEE": 0x48, "MSTORE": 0x52, "SLOAD": 0x54, "SSTORE": 0x55,
    "JUMP": 0x56, "JUMPI": 0x57, "JUMPDEST": 0x5b, "DUP1": 0x80, "LOG2": 0xa2, "RETURN": 0xf3,
    "REVERT": 0xfd, "INVALID": 0xfe, "POP": 0x50,
}


def assemble(program):
    """Bytes of a program: opcodes by name, numbers and bytes to push, `:label` here, `@label` to push it."""
    code, labels, uses = bytearray(), {}, []
    for item in program:
        if isinstance(item, int):
            length = max(1, (item.bit_length() + 7) // 8)
            code += bytes([0x5f + length]) + item.to_bytes(length, "big")
        elif isinstance(item, bytes):
            code += bytes([0x5f + len(item)]) + item
        elif item.startswith(":"):
            labels[item[1:]] = len(code)
            code.append(OPCODES["JUMPDEST"])
        elif item.startswith("@"):
            uses.append((len(code) + 1, item[1:]))
            code += b"\x61\x00\x00"
        else:
            code.append(OPCODES[item])
    for place, label in uses:
        code[place:place + 2] = labels[label].to_bytes(2, "big")
    return bytes(code)


def contract():
    """Its code: see the constants above."""
    program = [0, "CALLDATALOAD"]
    for number in range(1, 10):
        program += ["DUP1", number, "EQ", f"@{number}", "JUMPI"]
    program += [0, "SLOAD", 0, "MSTORE", 32, 0, "RETURN"]
    program += [f":{STORE}", 32, "CALLDATALOAD", "DUP1", 0, "SSTORE", 0, "MSTORE",
                "CALLER", bytes.fromhex(TOPIC[2:]), 32, 0, "LOG2", "STOP"]
    error = bytes.fromhex("08c379a0") + bytes(28)
    text = b"not today".ljust(32, b"\0")
    program += [f":{REVERT}", error, 0, "MSTORE", 32, 4, "MSTORE", 9, 36, "MSTORE", text, 68, "MSTORE",
                100, 0, "REVERT"]
    program += [f":{INVALID}", "INVALID", f":{LOOP}", f"@{LOOP}", "JUMP",
                f":{REVERT_EMPTY}", 0, 0, "REVERT"]
    program += [f":{PANIC}", bytes.fromhex("4e487b71") + bytes(28), 0, "MSTORE", 0x12, 4, "MSTORE",
                36, 0, "REVERT"]
    program += [f":{BLOCK}"]
    words = ["NUMBER", "TIMESTAMP", "COINBASE", "BASEFEE", "CHAINID", "DIFFICULTY", "GASLIMIT", "ORIGIN",
             "CALLER", "CALLVALUE", "SELFBALANCE", "GASPRICE", "ADDRESS"]
    for place, word in enumerate(words):
        program += [word, 32 * place, "MSTORE"]
    program += [1, "NUMBER", "SUB", "BLOCKHASH", 32 * len(words), "MSTORE"]
    program += [32 * (len(words) + 1), 0, "RETURN"]
    program += [f":{UNDERFLOW}", "POP", "POP", "POP", f":{JUMP}", 0, "JUMP"]
    return assemble(program)


def creation(code):
    """Input of a transaction that makes a contract with this code."""
    head = b""
    for _ in range(2):  # the length of the head is in the head
        head = assemble([len(code), len(head), 0, "CODECOPY", len(code), 0, "RETURN"])
    return "0x" + (head + code).hex()


def word(number):
    return f"{number:064x}"


def genesis(signer):
    forks = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg",
             "istanbul", "berlin", "london"]
    config = {"chainId": CHAIN_ID, "clique": {"period": 1, "epoch": 8}}
    config.update({f"{fork}Block": 0 for fork in forks})
    ether = 10 ** 18
    alloc = {signer: {"balance": hex(1000 * ether)}, RICH[2:]: {"balance": hex(ether), "nonce": "0x5"},
             GENESIS_CONTRACT[2:]: {"balance": "0x1", "code": "0x" + contract().hex(),
                                    "storage": {"0x" + word(0): "0x" + word(7), "0x" + word(1): "0x" + word(8)}}}
    return {"config": config, "difficulty": "0x1", "gasLimit": "0x1c9c380", "alloc": alloc,
            "timestamp": "0x65f00000", "baseFeePerGas": "0x3b9aca00",
            "extraData": "0x" + "00" * 32 + signer + "00" * 65}


class Maker:
    """go-ethereum as the signer of a network, which makes a chain and leaves it in a file."""

    def __init__(self, directory):
        self.directory = directory
        self.genesis = directory / "genesis.json"
        self.chain = directory / "chain.rlp"
        self.hashes = {}

    def make(self):
        directory = self.directory
        directory.mkdir(parents=True)
        (directory / "key").write_text(KEY)
        (directory / "password").write_text("interop\n")
        node = GethNode("maker", directory, self.genesis)
        status, output = run_tool(
            [node.program, "account", "import", "--lightkdf", "--datadir", node.data, "--password",
             directory / "password", directory / "key"], 60)
        found = re.search(r"\{([0-9a-f]{40})\}", output)
        if status != 0 or not found:
            raise Failure(f"geth account import: exit {status}: {output.strip()[-300:]}")
        self.signer = "0x" + found.group(1)
        self.genesis.write_text(json.dumps(genesis(found.group(1))))
        status, output = run_tool([node.program, "init", "--datadir", node.data, self.genesis], 60)
        if status != 0:
            raise Failure(f"geth init: exit {status}: {output.strip()[-300:]}")
        node.arguments = ["--mine", "--miner.etherbase", self.signer, "--unlock", self.signer,
                          "--password", directory / "password", "--maxpeers", "0"]
        node.start()
        try:
            self.send_all(node)
        finally:
            node.stop()
        status, output = run_tool([node.program, "export", "--datadir", node.data, self.chain], 60)
        if status != 0:
            raise Failure(f"geth export: exit {status}: {output.strip()[-300:]}")
        return node

    def send_all(self, node):
        """One block after the other with transactions of every type."""
        first = node.number()
        send = lambda **fields: node.call("eth_sendTransaction", {"from": self.signer, **fields})
        gwei = 10 ** 9
        tip = {"maxFeePerGas": hex(5 * gwei), "maxPriorityFeePerGas": hex(2 * gwei)}
        self.mined(node, create=wait_until(
            "the account is unlocked", 30,
            # Its socket is there before its accounts are unlocked.
            lambda: patient(lambda: send(data=creation(contract()), gas=hex(900_000), **tip),
                            "authentication needed")))
        made = node.call("eth_getTransactionReceipt", self.hashes["create"])
        self.contract = made["contractAddress"]
        access = [{"address": self.contract, "storageKeys": ["0x" + word(0)]}]
        store = lambda value: "0x" + word(STORE) + word(value)
        self.mined(
            node,
            legacy=send(to=RICH, value="0x3e8", gas=hex(21_000), gasPrice=hex(3 * gwei)),
            listed=send(to=self.contract, data=store(5), gas=hex(90_000), gasPrice=hex(4 * gwei),
                        accessList=access),
            dynamic=send(to=self.contract, data=store(6), gas=hex(90_000), **tip))
        self.mined(
            node,
            reverts=send(to=self.contract, data="0x" + word(REVERT), gas=hex(90_000), **tip),
            halts=send(to=self.contract, data="0x" + word(INVALID), gas=hex(50_000), **tip),
            genesis_contract=send(to=GENESIS_CONTRACT, data=store(9), value="0x2", gas=hex(90_000),
                                  gasPrice=hex(3 * gwei)),
            fails_to_create=send(data="0xfe", gas=hex(60_000), **tip))
        self.mined(node, clears=send(to=self.contract, data=store(0), gas=hex(90_000), **tip))
        wait_until("a few empty blocks", 60, lambda: node.number() >= max(first, 0) + 12)

    def mined(self, node, **hashes):
        self.hashes.update(hashes)
        for name, hash_of in hashes.items():
            wait_until(f"{name} is in a block", 60, lambda h=hash_of: patient(
                lambda: node.call("eth_getTransactionReceipt", h), "indexing is in progress"))


def patient(ask, reason):
    """The answer; None while go-ethereum says that it is not ready for this reason."""
    try:
        return ask()
    except Failure as failure:
        if reason in str(failure):
            return None
        raise


class Answering(GethNode):
    """go-ethereum with that chain and all its states. It seals nothing, so the chain stays as it is."""

    def import_command(self, chain):
        init, load = super().import_command(chain)
        return [init, [*load[:-1], "--gcmode", "archive", load[-1]]]

    def __init__(self, maker, directory):
        super().__init__("geth", directory, maker.genesis)
        self.arguments = ["--maxpeers", "0", "--gcmode", "archive"]
        self.import_chain(maker.chain)
