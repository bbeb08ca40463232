"""The state machine: a buyer, the thief, the clocks and the caps, in any order.

After every step the oracle looks at the world. What a person says here is true: they accept a wall
clock that is right, and resolve a payment as the chain has it.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from proxy.core.ledger import DEATH_MARGIN_S, WINDOWS
from tests.promise.buyer import Answer, Buyer, Fate, Order, Purchase
from tests.promise.draws import CAPS, ORDERS, REBOOTS, RIGHT, TEMPERS, WALLS, WHICH, WRONG, Temper
from tests.promise.model import Cheque, Word, World
from tests.promise.oracle import Oracle, Wall

T = TypeVar("T")
SHELF: Final = next((place for place in ("/dev/shm",) if Path(place).is_dir()), None)  # noqa: S108 - a directory of our own is made there
"""Where syncing costs nothing: hundreds of ledgers are made here."""

ANSWERS: Final = tuple(Answer)
BOUGHT: Final = precondition(lambda machine: bool(machine.purchases))
OUT: Final = precondition(lambda machine: bool(machine.world.pocket))


class Machine(RuleBasedStateMachine):
    """Drives a buyer on a real ledger. `make_buyer` and the world may have a bug planted."""

    def __init__(
        self,
        make_buyer: Callable[[World, Path], Buyer] = Buyer,
        world: World | None = None,
        *,
        believes_receipts: bool = True,
    ) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="promise-", dir=SHELF))
        self.runner = asyncio.Runner()
        self.world = world or World()
        self.oracle = Oracle(self.world, believes_receipts=believes_receipts)
        (self.directory / "at-0").mkdir()
        self.buyer = make_buyer(self.world, self.directory / "at-0")
        self.caps: dict[Wall, int] = {}
        self.temper = Temper()
        self.steps = 0
        self.purchases: list[Purchase] = []

    def teardown(self) -> None:
        """Close everything and clean up."""
        self.run(self.buyer.ledger.close())
        self.runner.close()
        shutil.rmtree(self.directory)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something of the buyer's."""
        return self.runner.run(work)

    def purchase(self, which: int) -> Purchase:
        """One of those that were let in."""
        return self.purchases[-1 - which % len(self.purchases)]

    def cheque(self, which: int) -> Cheque:
        """One of those in the thief's pocket."""
        cheques = list(self.world.pocket.values())
        return cheques[-1 - which % len(cheques)]

    # The owner.

    @initialize(
        walls=WALLS,
        cap=CAPS,
        temper=TEMPERS,
        wall_error_s=RIGHT,
        chain_error_s=RIGHT,
    )
    def begin(
        self, walls: list[Wall], cap: int, temper: Temper, wall_error_s: int, chain_error_s: int
    ) -> None:
        """Set a few caps and the clocks, and start the daemon."""
        self.caps = dict.fromkeys(walls, cap)
        self.temper = temper
        self.world.wall_error_s = wall_error_s
        self.world.chain.error_s = chain_error_s
        self.world.pass_time(0)
        self.run(self.buyer.open())

    @rule(order=ORDERS, copies=st.integers(1, 3), cap=st.none() | CAPS)
    def buy(self, order: Order, copies: int, cap: int | None) -> None:
        """Buy something, or several at once, and maybe edit the caps under way.

        The tighter ones bind.
        """
        begun, current = self.caps, dict.fromkeys(self.caps, cap) if cap else self.caps
        made = self.run(self.buyer.buy([order] * copies, begun, current))
        self.let_in(made, {wall: min(begun[wall], current[wall]) for wall in begun})
        self.caps = current

    @BOUGHT
    @rule(which=WHICH)
    def renew(self, which: int) -> None:
        """Ask for a further authorization, as the polls of a long job do."""
        renewed = self.run(self.buyer.renew(self.purchase(which), self.caps))
        self.let_in([] if renewed is None else [renewed], self.caps)

    def let_in(self, made: list[Purchase], caps: dict[Wall, int]) -> None:
        """Remember what was bought, and under which caps."""
        for purchase in made:
            self.oracle.let_in(purchase.cheque, caps)
            self.sell(purchase)
        self.purchases += made

    def sell(self, purchase: Purchase) -> None:
        """Do what the seller does to each purchase that it hears of."""
        if self.temper.takes and purchase.cheque.nonce in self.world.pocket:
            self.world.take(purchase.cheque)

    def hear(self, purchase: Purchase, answer: Answer) -> None:
        """Bring an answer to the buyer."""
        if answer is Answer.RECEIPT:
            self.world.swear(purchase.cheque)
        self.run(self.buyer.hear(purchase, answer))

    @BOUGHT
    @rule(which=WHICH)
    def leave_late(self, which: int) -> None:
        """What lingered leaves."""
        purchase = self.purchase(which)
        if self.lingers(purchase):
            self.world.let_out(purchase.cheque)
            self.sell(purchase)

    @OUT
    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        """The owner cancels an authorization on chain, or comes too late."""
        cheque = self.cheque(which)
        self.world.chain.note(Word.CANCELLED, cheque, self.world.true)
        self.buyer.cancelling.add(cheque.nonce)

    @BOUGHT
    @rule(which=WHICH)
    def resolve_by_hand(self, which: int) -> None:
        """A person says of a payment what is true so far; of a use, once it is safe."""
        payment = self.purchase(which).payment
        nonces = [p.cheque.nonce for p in self.purchases if p.payment == payment]
        chain = self.world.chain
        if any(chain.seen(nonce, chain.safe) is Word.USED for nonce in nonces):
            self.buyer.resolve_by_hand(payment, "0x1")
        elif not any(chain.seen(nonce, chain.now) is Word.USED for nonce in nonces):
            self.buyer.resolve_by_hand(payment, None)

    # The seller, who is the thief.

    @OUT
    @rule(which=WHICH, answer=st.sampled_from(Answer))
    def answer(self, which: int, answer: Answer) -> None:
        """Say anything, true or not, now or after a resend."""
        nonce = self.cheque(which).nonce
        for purchase in self.purchases:
            if purchase.cheque.nonce == nonce:
                self.hear(purchase, answer)

    @OUT
    @rule(which=WHICH, wait=st.booleans())
    def take(self, which: int, *, wait: bool) -> None:
        """Cash a cheque, now or in the last second in which the chain allows it."""
        cheque = self.cheque(which)
        if wait:
            due = cheque.valid_before - 1 - self.world.chain.error_s
            self.world.pass_time(due - self.world.true)
        self.world.take(cheque)

    # The chain and the clocks.

    @rule()
    def reconcile(self) -> None:
        """The daemon asks the chain."""
        self.run(self.buyer.reconcile())

    @rule(error_s=RIGHT, stalled=st.booleans(), reorganised=st.booleans())
    def chain_stumbles(self, error_s: int, *, stalled: bool, reorganised: bool) -> None:
        """Its newest blocks are replaced, or it stalls, or its clock is off by something else."""
        chain = self.world.chain
        chain.error_s, chain.stalled = error_s, stalled
        if reorganised:
            chain.reorganise()
        self.world.pass_time(0)

    @rule(seconds=st.sampled_from([3600, 60, 86_400, None, 1, 360, 1800, 604_800]))
    def time_passes(self, seconds: int | None) -> None:
        """Nothing happens for a while; None is until the wall clock's midnight."""
        day_s = WINDOWS["day"]
        self.world.pass_time(seconds or day_s - self.world.wall() % day_s)

    @OUT
    @rule(which=WHICH, offset_s=st.sampled_from([0, -1, 1]))
    def until_it_dies_by_the_wall(self, which: int, offset_s: int) -> None:
        """Wait until the wall clock says that a cheque is dead."""
        self.world.pass_time(self.cheque(which).valid_before + offset_s - self.world.wall())

    @OUT
    @rule(which=WHICH, in_window=st.booleans(), offset_s=st.sampled_from([0, -1, 1]))
    def until_it_counts_no_more(self, which: int, *, in_window: bool, offset_s: int) -> None:
        """Wait until the ledger takes a cheque for dead, or until it leaves a capped window."""
        edge = self.cheque(which).valid_before + DEATH_MARGIN_S + offset_s
        window = next(iter(self.caps))[1]
        window_s = WINDOWS.get(window, 0) if in_window else 0
        self.world.pass_time(edge + window_s - self.buyer.ledger.now())

    @rule(error_s=RIGHT | WRONG, stays=st.sampled_from([False, False, False, True]))
    def wall_clock_is_set(self, error_s: int, *, stays: bool) -> None:
        """Somebody sets the wall clock; a person accepts it if it is right, or puts it back."""
        before, self.world.wall_error_s = self.world.wall_error_s, error_s
        self.the_promise_holds()
        if self.world.wall_is_right:
            self.buyer.accept_clock()
        elif not stays:
            self.world.wall_error_s = before

    @rule(crash=st.booleans(), reboot=REBOOTS)
    def restart(self, *, crash: bool, reboot: int | None) -> None:
        """The daemon restarts, or dies and is started again; or the whole machine does.

        What was reserved and had not left is lost.
        """
        if reboot is not None:
            self.world.reboot(reboot)
        self.purchases = [p for p in self.purchases if not self.lingers(p)]
        self.run(self.buyer.restart(crash=crash))

    def lingers(self, purchase: Purchase) -> bool:
        """Whether it is still to leave."""
        late = purchase.order.fate is Fate.LINGERS
        return late and purchase.cheque.nonce not in self.world.pocket

    @invariant()
    def the_promise_holds(self) -> None:
        """The oracle is content, also when somebody asks for more."""
        temper, self.steps = self.temper, self.steps + 1
        if temper.talk is not None and self.world.pocket:
            self.answer(0, ANSWERS[(temper.talk + self.steps) % len(ANSWERS)])
        if temper.diligent:
            self.run(self.buyer.reconcile())
        if temper.hunger is not None and self.purchases:
            made = self.run(self.buyer.buy([temper.hunger] * 2, self.caps, self.caps))
            self.let_in(made, self.caps)
        self.oracle.check()
