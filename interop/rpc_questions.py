"""The questions of the group `rpc`: each is asked of go-ethereum and of our node."""

from rpc_chain import (
    BLOCK, GENESIS_CONTRACT, INVALID, JUMP, LOOP, PANIC, READ, REVERT, REVERT_EMPTY, RICH, STORE, TOPIC,
    UNDERFLOW, word)

NOBODY = "0x" + "99" * 20
UNKNOWN = "0x" + "77" * 32
# How much of an error has to be the same. Codes always have; texts where tools look for them.
EXACT, CODE = "exact", "code"


def questions(maker, head, hash_of):
    """(method, parameters, how errors are compared). `hash_of(number)` is the hash of a block."""
    yield from blocks(head, hash_of)
    yield from transactions(maker, head, hash_of)
    yield from accounts(maker, head, hash_of)
    yield from calls(maker, head)
    yield from logs(maker, head, hash_of)
    yield from fees(head)
    yield from clique(head, hash_of)
    yield from pool(maker, head)
    yield from mistakes()


def ask(method, *params, errors=EXACT):
    return method, list(params), errors


def blocks(head, hash_of):
    tags = ["latest", "earliest", "pending", "safe", "finalized", hex(head), hex(head + 1), "0x0", "0x3"]
    for tag in tags:
        # The pending block of go-ethereum is one that it would seal; we show the head.
        if tag == "pending":
            continue
        yield ask("eth_getBlockByNumber", tag, False)
        yield ask("eth_getBlockByNumber", tag, True)
        yield ask("eth_getBlockTransactionCountByNumber", tag)
        yield ask("eth_getUncleCountByBlockNumber", tag)
        yield ask("eth_getHeaderByNumber", tag)
        yield ask("eth_getBlockReceipts", tag)
    for number in range(head + 1):
        yield ask("eth_getBlockByHash", hash_of(number), True)
    for block in (hash_of(2), UNKNOWN):
        yield ask("eth_getBlockByHash", block, False)
        yield ask("eth_getBlockTransactionCountByHash", block)
        yield ask("eth_getUncleCountByBlockHash", block)
        yield ask("eth_getUncleByBlockHashAndIndex", block, "0x0")
        yield ask("eth_getHeaderByHash", block)
        yield ask("eth_getBlockReceipts", block)
    yield ask("eth_getUncleByBlockNumberAndIndex", "latest", "0x0")
    yield ask("eth_blockNumber")
    yield ask("eth_chainId")
    yield ask("eth_syncing")
    yield ask("eth_accounts")
    yield ask("eth_mining")
    yield ask("eth_hashrate")
    yield ask("net_version")
    yield ask("net_listening")
    yield ask("net_peerCount")
    yield ask("web3_sha3", "0x68656c6c6f20776f726c64")
    yield ask("web3_sha3", "0x")
    # Of blocks that it does not have, v1.13.15 breaks down here, or gives an empty list.
    for block in ("latest", "0x0", "0x2", hash_of(1)):
        for what in ("Block", "Header", "Receipts"):
            yield ask(f"debug_getRaw{what}", block)


def transactions(maker, head, hash_of):
    for hash_of_transaction in [*maker.hashes.values(), UNKNOWN]:
        yield ask("eth_getTransactionByHash", hash_of_transaction)
        yield ask("eth_getTransactionReceipt", hash_of_transaction)
        yield ask("eth_getRawTransactionByHash", hash_of_transaction)
        yield ask("debug_getRawTransaction", hash_of_transaction)
    for number in range(1, head + 1):
        for index in ("0x0", "0x1", "0x9"):
            yield ask("eth_getTransactionByBlockNumberAndIndex", hex(number), index)
            yield ask("eth_getTransactionByBlockHashAndIndex", hash_of(number), index)
            yield ask("eth_getRawTransactionByBlockNumberAndIndex", hex(number), index)
    yield ask("eth_getTransactionByBlockNumberAndIndex", hex(head + 1), "0x0")
    yield ask("eth_getTransactionByBlockHashAndIndex", UNKNOWN, "0x0")


def accounts(maker, head, hash_of):
    canonical = {"blockHash": hash_of(2), "requireCanonical": True}
    ids = ["latest", "earliest", "0x1", hex(head), hex(head + 1), {"blockNumber": "0x2"},
           {"blockHash": hash_of(2)}, canonical, {"blockHash": UNKNOWN}, hash_of(3), UNKNOWN, "safe",
           "finalized"]
    for block in ids:
        for address in (maker.signer, RICH, maker.contract, GENESIS_CONTRACT, NOBODY):
            yield ask("eth_getBalance", address, block)
            yield ask("eth_getTransactionCount", address, block)
            yield ask("eth_getCode", address, block)
        for slot in ("0x0", "0x1", "0x" + word(0)):
            yield ask("eth_getStorageAt", GENESIS_CONTRACT, slot, block)
    yield ask("eth_getStorageAt", maker.contract, "0x0", "latest")
    yield ask("eth_getStorageAt", NOBODY, "0x0", "latest")
    yield ask("eth_getStorageAt", GENESIS_CONTRACT, "0", "latest")
    yield ask("eth_getStorageAt", GENESIS_CONTRACT, "0xzz", "latest")
    yield ask("eth_getStorageAt", GENESIS_CONTRACT, "0x" + "1" * 66, "latest")
    for block in ("latest", "earliest", hex(head + 1)):
        for address in (maker.signer, GENESIS_CONTRACT, NOBODY):
            yield ask("eth_getProof", address, [], block)
            yield ask("eth_getProof", address, ["0x0", "0x1", "0x5", "0x" + word(1)], block)
    yield ask("eth_getProof", NOBODY, ["0xzz"], "latest")


def calls(maker, head):
    to = maker.contract
    every = [READ, STORE, REVERT, INVALID, REVERT_EMPTY, PANIC, BLOCK, UNDERFLOW, JUMP]
    for number in every:
        call = {"from": maker.signer, "to": to, "data": "0x" + word(number) + word(3)}
        # Which opcode was invalid, and how deep the stack was, only go-ethereum says.
        errors = CODE if number in (INVALID, UNDERFLOW) else EXACT
        yield ask("eth_call", call, "latest", errors=errors)
        yield ask("eth_call", call, "0x1", errors=errors)
        yield ask("eth_estimateGas", call, errors=errors)
    for number in (READ, STORE, BLOCK):
        call = {"from": maker.signer, "to": to, "input": "0x" + word(number) + word(3)}
        yield ask("eth_createAccessList", call, "latest")
    # The state behind block 0 has no such contract.
    yield ask("eth_call", {"to": to, "data": "0x"}, "earliest")
    yield ask("eth_call", {"to": GENESIS_CONTRACT}, "earliest")
    yield ask("eth_call", {"to": GENESIS_CONTRACT}, {"blockNumber": "0x2"})
    yield ask("eth_call", {"to": GENESIS_CONTRACT}, hex(head + 1))
    yield ask("eth_call", {"to": to, "data": "0x" + word(LOOP), "gas": hex(100_000)}, "latest")
    yield ask("eth_call", {"to": NOBODY, "value": "0x1"}, "latest")
    yield ask("eth_call", {"from": NOBODY, "to": RICH, "value": "0x1"}, "latest", errors=CODE)
    yield ask("eth_call", {"from": NOBODY, "to": RICH, "gas": "0x5208", "gasPrice": "0x1"}, "latest", errors=CODE)
    yield ask("eth_call", {"from": maker.signer, "to": RICH, "gas": "0x1"}, "latest")
    yield ask("eth_call", {"to": RICH, "gasPrice": "0x1", "maxFeePerGas": "0x1"}, "latest")
    yield ask("eth_call", {"to": RICH, "data": "0x01", "input": "0x02"}, "latest")
    yield ask("eth_call", {"data": "0x6001600052600160fff3"}, "latest")
    yield ask("eth_call", {"to": "0x" + "00" * 19 + "02", "data": "0x"}, "latest")
    priced = {"from": maker.signer, "to": to, "data": "0x" + word(BLOCK), "gas": hex(90_000),
              "maxFeePerGas": hex(10 ** 11), "maxPriorityFeePerGas": "0x1"}
    yield ask("eth_call", priced, "latest")
    overrides = {to: {"code": "0x" + "3031600052600160fff3"}, RICH: {"balance": "0x7"}}
    yield ask("eth_call", {"to": to}, "latest", {to: {"state": {"0x" + word(0): "0x" + word(99)}}})
    yield ask("eth_call", {"to": to}, "latest", {to: {"stateDiff": {"0x" + word(0): "0x" + word(98)}}})
    yield ask("eth_call", {"to": GENESIS_CONTRACT}, "latest", {GENESIS_CONTRACT: {"state": {}}})
    yield ask("eth_call", {"to": to}, "latest", overrides)
    both = {"state": {"0x" + word(0): "0x" + word(1)}, "stateDiff": {"0x" + word(0): "0x" + word(1)}}
    yield ask("eth_call", {"to": to}, "latest", {to: both}, errors=CODE)
    block = {"number": "0x64", "time": "0x65", "gasLimit": "0x66", "coinbase": RICH, "baseFee": "0x67"}
    yield ask("eth_call", {"to": to, "data": "0x" + word(BLOCK)}, "latest", {}, block)
    yield ask("eth_estimateGas", {"from": maker.signer, "to": RICH, "value": "0x1"})
    yield ask("eth_estimateGas", {"from": maker.signer, "to": RICH, "value": "0x1", "data": "0x00ff"})
    yield ask("eth_estimateGas", {"from": NOBODY, "to": RICH, "value": "0x1"}, errors=CODE)
    yield ask("eth_estimateGas", {"from": maker.signer, "data": "0x6001600052600160fff3"})
    yield ask("eth_estimateGas", {"from": maker.signer, "to": to, "data": "0x" + word(LOOP)}, errors=CODE)
    yield ask("eth_estimateGas", {"from": maker.signer, "to": to, "data": "0x" + word(STORE) + word(1)}, "0x2")


def logs(maker, head, hash_of):
    signer = "0x" + "00" * 12 + maker.signer[2:]
    everything = {"fromBlock": "0x0", "toBlock": "latest"}
    filters = [
        {}, everything, {"fromBlock": "0x0"}, {"fromBlock": "earliest", "toBlock": "0x3"},
        {**everything, "address": maker.contract}, {**everything, "address": [maker.contract, GENESIS_CONTRACT]},
        {**everything, "address": []}, {**everything, "address": NOBODY},
        {**everything, "topics": []}, {**everything, "topics": [TOPIC]}, {**everything, "topics": [None, signer]},
        {**everything, "topics": [[TOPIC, UNKNOWN], [signer]]}, {**everything, "topics": [signer]},
        {**everything, "topics": [None, None]}, {**everything, "topics": [None, None, None]},
        {"fromBlock": "0x3", "toBlock": "0x2"}, {"fromBlock": hex(head + 5), "toBlock": hex(head + 9)},
        {"blockHash": hash_of(head)}, {"blockHash": UNKNOWN}, {"blockHash": UNKNOWN, "fromBlock": "0x1"},
        {**everything, "topics": [None] * 5},
        *({"blockHash": hash_of(number)} for number in range(head + 1)),
    ]
    for wanted in filters:
        yield ask("eth_getLogs", wanted, errors=CODE)
    yield ask("eth_getFilterChanges", "0x12345")
    yield ask("eth_getFilterLogs", "0x12345")
    yield ask("eth_uninstallFilter", "0x12345")


def fees(head):
    yield ask("eth_gasPrice")
    yield ask("eth_maxPriorityFeePerGas")
    for count, last in (("0x5", "latest"), ("0x1", "0x1"), (hex(head + 9), "latest"), ("0x2", "earliest"), ("0x0", "latest")):
        yield ask("eth_feeHistory", count, last, [])
        yield ask("eth_feeHistory", count, last, [0, 25.5, 50, 99, 100])
    yield ask("eth_feeHistory", 3, "latest", [10])
    yield ask("eth_feeHistory", "0x1", hex(head + 1), [])
    yield ask("eth_feeHistory", "0x1", "latest", [50, 25])
    yield ask("eth_feeHistory", "0x1", "latest", [101])
    yield ask("eth_feeHistory", "0x1", "latest", [-1])


def clique(head, hash_of):
    for number in ("latest", "0x0", "0x1", "0x8", hex(head), hex(head + 1)):
        yield ask("clique_getSnapshot", number)
        yield ask("clique_getSigners", number)
    for block in (hash_of(0), hash_of(5), UNKNOWN):
        yield ask("clique_getSnapshotAtHash", block)
        yield ask("clique_getSignersAtHash", block)
    yield ask("clique_getSnapshot")
    # Not clique_status: v1.13.15 leaves the head out of the last 64 blocks.
    yield ask("clique_proposals")
    # Of "latest" v1.13.15 says "missing block latest".
    for block in ("0x3", hash_of(4)):
        yield ask("clique_getSigner", block)
    for block in ("0x0", UNKNOWN, hex(head + 1)):
        yield ask("clique_getSigner", block, errors=CODE)


def pool(maker, head):
    """The pool of both is empty."""
    for what in ("status", "content", "inspect"):
        yield ask(f"txpool_{what}")
    yield ask("txpool_contentFrom", maker.signer)
    yield ask("eth_getTransactionCount", maker.signer, "pending")
    yield ask("eth_pendingTransactions")
    # Bytes that are no transaction. The one that was mined already has the nonce of before.
    for raw in ("0x", "0x02c0", "0xc0", "0x05c0", "0x00"):
        yield ask("eth_sendRawTransaction", raw, errors=CODE)


def mistakes():
    """Wrong parameters: the code is the same, the text of ours has no names of Go's types."""
    yield ask("eth_nothing")
    yield ask("nothing", 1, 2)
    for method, params in [
            ("eth_getBalance", []), ("eth_getBalance", ["0x12", "latest"]), ("eth_getBalance", [NOBODY, "newest"]),
            ("eth_getBalance", [NOBODY, "latest", 1]), ("eth_getBalance", [NOBODY[2:] + "zz", "latest"]),
            ("eth_getBalance", [NOBODY, {"blockHash": UNKNOWN, "blockNumber": "0x1"}]),
            ("eth_getBalance", [NOBODY, {}]), ("eth_getBalance", [NOBODY, "0x01"]),
            ("eth_getBalance", [NOBODY, "0x" + "f" * 16]), ("eth_getBalance", [NOBODY, 5]),
            ("eth_getBlockByNumber", []), ("eth_getBlockByNumber", ["0x1", "yes"]),
            ("eth_getBlockByNumber", [True, True]), ("eth_getBlockByHash", ["0x1", True]),
            ("eth_call", []), ("eth_call", [{"to": "0x1"}]), ("eth_call", ["0x"]), ("eth_call", [{"gas": 1}]),
            ("eth_getLogs", ["x"]), ("eth_getLogs", [{"topics": ["0x1"]}]), ("eth_getLogs", [{"address": 1}]),
            ("eth_getTransactionByHash", ["0x"]), ("eth_getTransactionByBlockNumberAndIndex", ["0x1", "x"]),
            ("eth_feeHistory", ["x", "latest", []]), ("eth_getProof", [NOBODY, "0x0", "latest"]),
            ("web3_sha3", ["68"]), ("eth_sendRawTransaction", []), ("eth_sendRawTransaction", ["zz"]),
            ("eth_chainId", [1]), ("eth_getStorageAt", [NOBODY])]:
        yield method, params, CODE
