"""The embedded network as the official client for Python sees it, one line of TAP per case.

POCKET_IC_BIN names the server, ASSAY_WASM_DIR the folder of the probe canister; nothing here knows whose server it is.
The client starts the server and never ends it, so the server ends by itself when nobody has asked for anything for a
while.
"""

import gzip
import os
import sys
import traceback

import ic
from ic.candid import Types
from pocket_ic import PocketIC, SubnetConfig, SubnetKind

SECOND = 1_000_000_000


def needed(name):
    """What a variable holds."""
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{name} is not set; run cargo xtask conformance localnet")
    return value


needed("POCKET_IC_BIN")
with open(os.path.join(needed("ASSAY_WASM_DIR"), "probe.wasm"), "rb") as file:
    PROBE = file.read()


def opt(number):
    """The probe's argument at installation."""
    return [{"type": Types.Opt(Types.Nat64), "value": [number]}]


def nat64(*numbers):
    """Arguments that are numbers."""
    return ic.encode([{"type": Types.Nat64, "value": number} for number in numbers])


def number_in(reply):
    """The number that a reply is."""
    return ic.decode(bytes(reply), Types.Nat64)[0]["value"]


def probe(pic, number=7, subnet=None):
    """A new canister with the probe in it."""
    canister = pic.create_canister(subnet=subnet)
    pic.add_cycles(canister, 2_000_000_000_000)
    pic.install_code(canister, PROBE, opt(number))
    return canister


def read(pic, canister):
    """The probe's number."""
    return number_in(pic.query_call(canister, "read", ic.encode([])))


def refused(call, words):
    """Makes a call that must be refused with these words."""
    try:
        call()
    except ValueError as error:
        assert words in str(error), error
    else:
        raise AssertionError("nothing was refused")


def creates_a_canister_and_installs_a_module():
    pic = PocketIC()
    canister = pic.create_canister()
    assert pic.check_canister_exists(canister)
    pic.add_cycles(canister, 2_000_000_000_000)
    pic.install_code(canister, PROBE, opt(7))
    assert read(pic, canister) == 7
    absent = ic.Principal(bytes(7) + b"\x09\x01\x01")
    assert not pic.check_canister_exists(absent)


def calls_updates_and_queries_as_somebody():
    pic = PocketIC()
    canister = probe(pic)
    assert number_in(pic.update_call(canister, "add", nat64(5))) == 12
    assert read(pic, canister) == 12
    user = ic.Principal.self_authenticating(b"a key")
    pic.set_sender(user)
    caller = ic.decode(bytes(pic.query_call(canister, "caller", ic.encode([]))), Types.Principal)
    assert str(caller[0]["value"]) == str(user)
    pic.set_anonymous_sender()
    assert number_in(pic.update_call(canister, "add", nat64(1))) == 13


def sees_rejects_and_traps_and_nothing_of_what_they_did():
    pic = PocketIC()
    canister = probe(pic)
    text = ic.encode([{"type": Types.Text, "value": "not today"}])
    refused(lambda: pic.update_call(canister, "reject", text), "not today")
    both = ic.encode([{"type": Types.Nat64, "value": 3}, {"type": Types.Text, "value": "halfway"}])
    refused(lambda: pic.update_call(canister, "trap_after_adding", both), "halfway")
    refused(lambda: pic.query_call(canister, "nothing", ic.encode([])), "has no query method 'nothing'")
    assert read(pic, canister) == 7


def adds_cycles_and_reads_the_balance():
    pic = PocketIC()
    canister = pic.create_canister()
    before = pic.get_cycles_balance(canister)
    assert pic.add_cycles(canister, 10**20) == before + 10**20
    assert pic.get_cycles_balance(canister) == before + 10**20


def moves_the_clock_and_timers_run():
    pic = PocketIC()
    canister = probe(pic)
    runs = lambda: number_in(pic.query_call(canister, "runs", ic.encode([])))
    before = pic.get_time()["nanos_since_epoch"]
    pic.update_call(canister, "run_later", nat64(60))
    for _ in range(3):
        pic.tick()
    assert runs() == 0
    pic.advance_time(61 * SECOND)
    for _ in range(5):
        pic.tick()
    assert runs() == 1
    assert pic.get_time()["nanos_since_epoch"] >= before + 61 * SECOND


def sets_and_reads_stable_memory():
    pic = PocketIC()
    canister = probe(pic)
    memory = bytes(range(256)) * 256
    pic.set_stable_memory(canister, memory)
    assert pic.get_stable_memory(canister)[: len(memory)] == memory
    pic.set_stable_memory(canister, gzip.compress(memory[::-1]), "gzip")
    assert pic.get_stable_memory(canister)[: len(memory)] == memory[::-1]


def puts_canisters_on_several_subnets_that_call_each_other():
    pic = PocketIC(SubnetConfig(application=2, nns=True, sns=True, ii=True, system=1))
    topology = pic.topology()
    kinds = sorted(kind.value for kind in topology.values())
    assert kinds == ["Application", "Application", "II", "NNS", "SNS", "System"], kinds
    root_key = pic.get_root_key()
    assert root_key and len(root_key) == 133
    homes = [subnet for subnet, kind in topology.items() if kind == SubnetKind.APPLICATION]
    near, far = (probe(pic, 1, subnet) for subnet in homes)
    assert [str(pic.get_subnet(canister)) for canister in (near, far)] == [str(home) for home in homes]
    args = ic.encode([{"type": Types.Principal, "value": str(far)}, {"type": Types.Nat64, "value": 4}])
    pic.update_call(near, "add_there", args)
    assert (read(pic, near), read(pic, far)) == (1, 5)


def takes_a_canister_object_from_a_candid_file():
    pic = PocketIC()
    candid = "service : (opt nat64) -> { read : () -> (nat64) query; add : (nat64) -> (nat64); }"
    canister = pic.create_and_install_canister_with_candid(candid, PROBE, [40])
    assert canister.add(2) == [42], canister
    assert canister.read() == [42]


CASES = [
    creates_a_canister_and_installs_a_module,
    calls_updates_and_queries_as_somebody,
    sees_rejects_and_traps_and_nothing_of_what_they_did,
    adds_cycles_and_reads_the_balance,
    moves_the_clock_and_timers_run,
    sets_and_reads_stable_memory,
    puts_canisters_on_several_subnets_that_call_each_other,
    takes_a_canister_object_from_a_candid_file,
]


def main():
    """Runs all cases; the exit code says whether one failed."""
    failed = 0
    for number, case in enumerate(CASES, 1):
        word = "ok"
        try:
            case()
        except Exception:
            word = "not ok"
            failed += 1
        print(f"{word} {number} - {case.__name__.replace('_', ' ')}", flush=True)
        if word == "not ok":
            traceback.print_exc(file=sys.stdout)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
