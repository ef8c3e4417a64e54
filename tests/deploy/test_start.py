"""What a hub says when it cannot start here."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest

from course_lib.grading.places import ROOT


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that both of the hub's configurations start with."""
    spec = importlib.util.spec_from_file_location("hub", ROOT / "deploy" / "jupyterhub" / "hub.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "hub", module)
    spec.loader.exec_module(module)
    return module


def put_node(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str) -> None:
    """Let the only node be one that has this version."""
    node = folder / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize("version", ["v18.20.4", "v8.1.0", "no version"])
def test_a_node_that_is_too_old_is_named(
    hub: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    put_node(monkeypatch, tmp_path, version)
    with pytest.raises(SystemExit, match=f"from version 20 on, and here is ({version}|none)"):
        hub.need_node()


def test_without_a_node_it_says_so(hub: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="here is none on the PATH"):
        hub.need_node()


def test_a_node_that_is_new_enough_is_taken(hub: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_node(monkeypatch, tmp_path, "v20.0.0")
    hub.need_node()


def test_a_port_that_is_taken_is_named(hub: ModuleType) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        other.listen()
        with pytest.raises(SystemExit, match=f"Port {port} is not free"):
            hub.need_ports([port])
