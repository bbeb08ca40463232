"""What `farebox doctor --online` asks: which chain is behind each `rpc_url`?

An rpc_url may hold its owner's key in path or query, so nothing beyond its host is ever shown, and
no foreign error message is.
"""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from proxy.cli.checkup import OK, WARN, Finding
from proxy.core.x402.assets import chain_id

if TYPE_CHECKING:
    from proxy.core.config import Config

DEADLINE_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 1 << 16
_QUESTION: Final = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'


def online(config: "Config") -> Iterator[Finding]:
    """Each rpc_url answers, and for the chain that it stands under."""
    for network, facts in config.networks.items():
        if facts.rpc_url is None:
            continue
        place = f"networks.{network}.rpc_url ({_host(facts.rpc_url)})"
        found = _ask_in_time(facts.rpc_url)
        if isinstance(found, str):
            yield Finding("online", WARN, f"{place} {found}", "without it the chain is not read")
        elif found != chain_id(network):
            message = f"{place} is a node of eip155:{found}, and not of {network}"
            yield Finding("online", WARN, message, "put each rpc_url under its own network")
        else:
            yield Finding("online", OK, f"{place} answers for its chain")


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _ask_in_time(url: str) -> int | str:
    """The chain's id, or why it is not known. A node that drips is left to drip."""
    answers: list[int | str] = []
    asking = threading.Thread(target=lambda: answers.append(_ask(url)), daemon=True)
    asking.start()
    asking.join(DEADLINE_S)
    return answers[0] if answers else _silent()


def _ask(url: str) -> int | str:
    request = urllib.request.Request(  # noqa: S310 - the config lets only http and https through
        url, _QUESTION, {"Content-Type": "application/json"}
    )
    try:
        with _opener().open(request, timeout=DEADLINE_S) as answer:
            return _chain_of(json.loads(answer.read(ANSWER_BYTES_MAX)))
    except urllib.error.HTTPError as problem:
        problem.close()
        return f"answers with HTTP status {problem.code}"
    except Exception as problem:  # noqa: BLE001 - whatever it is, its text may quote the URL
        reason = getattr(problem, "reason", problem)
        if isinstance(reason, TimeoutError):  # the socket's clock went off before the thread's
            return _silent()
        return f"cannot be asked ({type(reason).__name__})"


def _silent() -> str:
    return f"gave no answer within {DEADLINE_S:g} s"


def _chain_of(answer: Any) -> int | str:  # noqa: ANN401 - a node may answer with any JSON
    try:
        return int(answer["result"], 16)
    except (KeyError, TypeError, ValueError):
        return "does not say which chain it is of"


def _opener() -> urllib.request.OpenerDirector:
    """Like the daemon: no proxy of the environment, and no redirect elsewhere."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - what is not looked at
        return None
