"""The ledger's time: what moves it, what does not, and when it is not to be trusted."""

from dataclasses import dataclass

import pytest

from proxy.core.clock import DAY_S, JUMP_S, Anchor, Clocks, SteadyClock

START = 1_700_000_000


@dataclass
class Machine:
    """A machine's clocks."""

    wall: float = START
    uptime: float = 1000
    boot_id: str = "boot"

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.uptime += seconds

    @property
    def clocks(self) -> Clocks:
        """As the ledger takes them."""
        return Clocks(lambda: self.wall, lambda: self.uptime, self.boot_id)

    def clock(self, latest: float = 0, anchor: Anchor | None = None) -> SteadyClock:
        """A ledger's clock that begins now."""
        return SteadyClock(self.clocks, latest, anchor)


@pytest.mark.parametrize("jump_s", [-(10**6), -JUMP_S - 1, JUMP_S + 1, 10**9])
def test_jump_stops_and_moves_nothing(jump_s: int) -> None:
    """However the wall clock is set, the ledger's time goes its way, and says how far it was."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += jump_s
    machine.passes(10)
    assert clock.jump_s() == jump_s
    assert clock.now() == START + 10
    assert clock.lag_s() == max(0, -jump_s)
    machine.wall -= jump_s
    assert clock.jump_s() == 0
    assert clock.now() == START + 10


@pytest.mark.parametrize("step_s", [-JUMP_S, -1, 1, JUMP_S])
def test_small_steps_are_forgiven(step_s: int) -> None:
    """The corrections that time daemons make go by, day after day, and move nothing."""
    machine = Machine()
    clock = machine.clock()
    for number in range(1, 5):
        machine.wall += step_s
        machine.passes(DAY_S)
        assert clock.jump_s() == 0
        assert clock.now() == START + number * DAY_S


def test_small_steps_do_not_add_up() -> None:
    """Two corrections within a day are one: a clock that creeps is a clock that jumps."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 20
    machine.passes(DAY_S - 1)
    assert clock.jump_s() == 0
    machine.wall += 20
    assert clock.jump_s() == 40
    assert machine.clock(anchor=clock.anchor).jump_s() == 40


def test_accepted_time() -> None:
    """A person's word makes a jump good; ahead, the ledger follows, and back it stays."""
    machine = Machine()
    clock = machine.clock()
    machine.wall += 5000
    clock.accept()
    assert (clock.jump_s(), clock.now(), clock.lag_s()) == (0, START + 5000, 0)
    machine.wall -= 9000
    clock.accept()
    assert (clock.jump_s(), clock.now(), clock.lag_s()) == (0, START + 5000, 9000)


def test_another_process_accepts() -> None:
    """What a command accepted beside the daemon is followed; what is older or to come is not."""
    machine = Machine()
    clock, command = machine.clock(), machine.clock()
    old = command.anchor
    machine.passes(10)
    machine.wall += 5000
    accepted = command.accept()
    clock.follow(old)
    assert clock.jump_s() == 5000
    clock.follow(Anchor("boot", machine.uptime + 1, machine.wall, START + 99_999))
    assert clock.jump_s() == 5000
    clock.follow(accepted)
    assert (clock.jump_s(), clock.now()) == (0, START + 5010)


def test_restart_within_one_boot() -> None:
    """What passed while the daemon was off is known, and so is a jump in the meantime."""
    machine = Machine()
    anchor = machine.clock().anchor
    machine.passes(100)
    machine.wall += 86_400
    clock = machine.clock(latest=START, anchor=anchor)
    assert (clock.now(), clock.jump_s()) == (START + 100, 86_400)
    late = machine.clock(latest=START + 500, anchor=anchor)
    assert late.now() == START + 500


@pytest.mark.parametrize(("boot_id", "uptime"), [("other", 5000), ("boot", 5), ("", 5000)])
def test_restart_after_a_reboot(boot_id: str, uptime: float) -> None:
    """After a reboot, or where it cannot be told, the wall clock is all that there is."""
    machine = Machine(boot_id=boot_id)
    anchor = Machine(boot_id=boot_id and "boot").clock().anchor
    machine.wall, machine.uptime = START + 86_400, uptime
    clock = machine.clock(latest=START, anchor=anchor)
    assert (clock.now(), clock.jump_s()) == (START + 86_400, 0)
    assert machine.clock(latest=START + 10**6).now() == START + 10**6
