"""Fixtures of the client suite: the same tests run against the sandbox and, if LAKEFS_URL names one, against a real lakeFS.

`--direct` leaves the gateway out. What was skipped, and why, is printed at the end.
"""

import collections
import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support import clients, tokens, world  # noqa: E402

# A token, a signed URL's signature, a session cookie with its value.
LETS_IN = re.compile(tokens.JWT.pattern + r"|X-Amz-Signature=[0-9a-fA-F]|_auth_session=[\w-]{20}")


def pytest_addoption(parser):
    parser.addoption("--direct", action="store_true", help="without the gateway: speak to lakeFS itself")
    parser.addoption("--back", choices=("sandbox", "live"), help="only this backend")


def pytest_generate_tests(metafunc):
    """The suite's axes: what is behind, what is in front, and how clients authenticate."""
    wanted, option = metafunc.fixturenames, metafunc.config.getoption
    if "back" in wanted:
        metafunc.parametrize("back", [option("back")] if option("back") else ["sandbox", "live"], indirect=True, scope="session")
    fronts = ["direct"] if option("direct") else list(world.UPSTREAM_IDENTITIES)
    if "front" in wanted and "scheme" in wanted:
        # Cookies of an identity provider work only where the gateway attaches a bearer of its own; elsewhere see test_identity.py.
        pairs = [(front, scheme) for front in fronts for scheme in clients.SCHEMES if scheme not in clients.EXTERNAL or front in world.ATTACHING]
        metafunc.parametrize(("front", "scheme"), pairs, indirect=True)
    elif "front" in wanted:
        metafunc.parametrize("front", fronts, indirect=True)
    elif "scheme" in wanted:
        metafunc.parametrize("scheme", clients.SCHEMES, indirect=True)


@pytest.fixture(scope="session")
def back(request, tmp_path_factory):
    """The lakeFS behind the gateway."""
    if request.param == "live":
        found, why_not = world.live_from_environment()
        if not found:
            pytest.skip(f"live lakeFS: {why_not}")
        yield found
        return
    sandbox, process_of_it = world.start_sandbox(tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    process_of_it.stop()


@pytest.fixture(autouse=True)
def _fits(request):
    """Skips, loudly, what the chosen backend or mode cannot show."""
    if request.node.get_closest_marker("gateway") and request.config.getoption("direct"):
        pytest.skip("--direct: needs the gateway")
    if request.node.get_closest_marker("scripted") and not request.getfixturevalue("back").scripted:
        pytest.skip("live lakeFS: its answers cannot be scripted")


@pytest.fixture(scope="session")
def gateways(back, tmp_path_factory):
    """Starts gateways in front of the backend, one for each different configuration, and stops them at the end."""
    started = {}

    def get(upstream="login", **changes):
        key = (upstream, repr(sorted(changes.items())))
        if key not in started:
            name = f"gateway-{len(started)}-{upstream}"
            started[key] = world.Gateway(name, back, tmp_path_factory.mktemp(name), upstream, **changes)
        return started[key]

    get.started = started
    yield get
    codes = {gateway.name: gateway.stop() for gateway in started.values()}
    assert not any(codes.values()), f"a gateway did not end well: {codes}"
    # Whatever the tests did: no log may hold what lets anyone in.
    for gateway in started.values():
        assert not [line for line in gateway.log().splitlines() if LETS_IN.search(line) or back.secret_key in line or back.auth_secret in line]


@pytest.fixture
def front(request, back):
    """What clients speak to: a gateway in one of its ways to a bearer, or lakeFS itself."""
    if request.param == "direct":
        return world.Direct(back)
    return request.getfixturevalue("gateways")(request.param)


@pytest.fixture
def scheme(request):
    """One of lakeFS's authentication schemes."""
    return request.param


@pytest.fixture
def gateway(gateways):
    """The gateway in `login` mode."""
    return gateways("login")


@pytest.fixture(scope="module")
def repository(back):
    """A repository for the tests of one module."""
    return back.repository()


@pytest.fixture(autouse=True)
def _log_from_here(request):
    """Where each gateway's log stood when the test began."""
    started = request.getfixturevalue("gateways").started.values() if "gateways" in request.fixturenames or "front" in request.fixturenames else ()
    request.node.log_from = {gateway: gateway.log_path.stat().st_size for gateway in started}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds to a failed test what the gateways logged while it ran."""
    report = (yield).get_result()
    gateways = getattr(item, "funcargs", {}).get("gateways")
    if report.failed and gateways:
        for gateway in gateways.started.values():
            logged = gateway.log()[item.log_from.get(gateway, 0) :].splitlines()
            if logged:
                report.sections.append((f"{gateway.log_path}, the last of {len(logged)} lines", "\n".join(line[:400] for line in logged[-12:])))


_skipped = collections.Counter()


def pytest_runtest_logreport(report):
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_sep("=", f"lakefs-sdk {clients.VERSION}")
    for why, count in sorted(_skipped.items()):
        terminalreporter.write_line(f"SKIPPED {count} tests: {why}", yellow=True)
    if not _skipped:
        terminalreporter.write_line("nothing was skipped")
