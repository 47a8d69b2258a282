"""lakegate knows every operation that the installed lakefs-sdk declares."""

import functools
import importlib
import inspect
import json
import pkgutil
import re
import subprocess

import lakefs_sdk.api
import pytest
from support import clients, process

CALL = re.compile(r"call_api\(\s*'(?P<path>/[^']*)',\s*'(?P<method>[A-Z]+)'")


def declared():
    """Operation, method and path of each `*_with_http_info` function of the SDK's API classes, from its source."""
    for module in pkgutil.iter_modules(lakefs_sdk.api.__path__):
        loaded = importlib.import_module(f"lakefs_sdk.api.{module.name}")
        for _, api in inspect.getmembers(loaded, inspect.isclass):
            for name, function in inspect.getmembers(api, inspect.isfunction):
                if api.__module__ == loaded.__name__ and name.endswith("_with_http_info"):
                    call = CALL.search(inspect.getsource(function))
                    assert call, f"no call in {api.__name__}.{name}"
                    yield name.removesuffix("_with_http_info"), call["method"], call["path"]


OPERATIONS = sorted(set(declared()))
EXAMPLES = {"repository": "repo1", "branch": "main", "sourceRef": "dev", "destinationBranch": "main", "partNumber": "1"}


@functools.cache
def explain(method, target):
    """What `lakegate explain` says of a request."""
    done = subprocess.run([process.binary(), "explain", method, target, "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_sdk_declares_what_we_think_it_does():
    assert len(OPERATIONS) == {"1.88.0": 130, "1.60.0": 133}[clients.VERSION]
    assert ("hard_reset_branch", "PUT", "/repositories/{repository}/branches/{branch}/hard_reset") in OPERATIONS


@pytest.mark.parametrize(("operation", "method", "path"), OPERATIONS, ids=[name for name, _, _ in OPERATIONS])
def test_lakegate_knows_the_operation(operation, method, path):
    target = "/api/v1" + re.sub(r"\{(\w+)\}", lambda name: EXAMPLES.get(name[1], "x"), path)
    assert explain(method, target)["operation"].lower() == operation.replace("_", "")
